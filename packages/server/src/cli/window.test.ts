import { expect, test } from "vitest";
import { createWindow } from "./window.ts";

/** A window of two, and how to end the work that it tracks. */
function setup() {
  const window = createWindow(2);
  const begin = (): (() => Promise<void>) => {
    let end = (): void => undefined;
    const work = new Promise<void>((resolve) => (end = resolve));
    window.track(work);
    return async () => {
      end();
      await work;
    };
  };
  const said: string[] = [];
  const hear = (word: string, when: Promise<void>): void =>
    void when.then(() => void said.push(word));
  const settle = async (): Promise<readonly string[]> => {
    await new Promise((resolve) => setImmediate(resolve));
    return said.splice(0);
  };
  return { window, begin, hear, settle };
}

test("there is room and nothing under way from the start", async () => {
  const { window, hear, settle } = setup();
  hear("room", window.room());
  hear("idle", window.idle());
  expect(await settle()).toEqual(["room", "idle"]);
});

test("there is room until it is full, and again with the first that ends", async () => {
  const { window, begin, hear, settle } = setup();
  const first = begin();
  hear("one", window.room());
  expect(await settle()).toEqual(["one"]);
  const second = begin();
  hear("two", window.room());
  hear("three", window.room());
  expect(await settle()).toEqual([]);
  await second();
  expect(await settle()).toEqual(["two", "three"]);
  await first();
});

test("it is idle once the last has ended, and whoever waits waits for all", async () => {
  const { window, begin, hear, settle } = setup();
  const ends = [begin(), begin(), begin()];
  hear("room", window.room());
  hear("idle", window.idle());
  await ends[0]?.();
  expect(await settle()).toEqual([]);
  await ends[1]?.();
  expect(await settle()).toEqual(["room"]);
  await ends[2]?.();
  expect(await settle()).toEqual(["idle"]);
});
