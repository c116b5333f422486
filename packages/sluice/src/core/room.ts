import { SluiceError } from "../errors.ts";
import type { Settings } from "./options.ts";

/** What an item would add. */
interface Adds {
  readonly addsEntries: number;
  readonly addsBytes: number;
}

/** Who holds entries: sealed and in flight, or still gathered. */
interface Holder {
  readonly heldEntries: number;
  readonly heldBytes: number;
  readonly accumulator: { readonly entries: number; readonly bytes: number };
}

/** The room in the buffers that all lanes share. */
export class Room {
  readonly #name: string;
  readonly #holders: Iterable<Holder>;
  readonly #settings: () => Settings;
  // What is free at least: found by asking the holders, and taken since. Only what leaves makes it more.
  #entries = 0;
  #bytes = 0;
  #stale = true;

  constructor(name: string, holders: Iterable<Holder>, settings: () => Settings) {
    this.#name = name;
    this.#holders = holders;
    this.#settings = settings;
  }

  has({ addsEntries, addsBytes }: Adds): boolean {
    if (addsEntries <= this.#entries && addsBytes <= this.#bytes) return true;
    if (!this.#stale) return false;
    const free = this.#free(false);
    this.#entries = free.entries;
    this.#bytes = free.bytes;
    this.#stale = false;
    return addsEntries <= free.entries && addsBytes <= free.bytes;
  }

  take({ addsEntries, addsBytes }: Adds): void {
    this.#entries -= addsEntries;
    this.#bytes -= addsBytes;
  }

  /** Whether there would be room if all that is gathered were dropped. */
  wouldHave({ addsEntries, addsBytes }: Adds): boolean {
    const { entries, bytes } = this.#free(true);
    return addsEntries <= entries && addsBytes <= bytes;
  }

  /** Throws for what would not fit into empty buffers. */
  refuseTooLarge({ addsEntries, addsBytes }: Adds): void {
    const { maxBufferedEntries, maxBufferedBytes } = this.#settings();
    if (addsEntries <= maxBufferedEntries && addsBytes <= maxBufferedBytes) return;
    throw new SluiceError(
      "SLUICE_ERR_ITEM_TOO_LARGE",
      `${this.#name}: an item of ${addsEntries} entries and ${addsBytes} bytes can never fit: ` +
        `maxBufferedEntries is ${maxBufferedEntries}, maxBufferedBytes is ${maxBufferedBytes}`,
    );
  }

  /** So much has left, exactly. */
  give({ entries, bytes }: { readonly entries: number; readonly bytes: number }): void {
    if (this.#stale) return; // the holders will be asked
    this.#entries += entries;
    this.#bytes += bytes;
  }

  /** The refusal of what has no room. */
  full(): SluiceError {
    const { maxBufferedEntries, maxBufferedBytes } = this.#settings();
    const free = this.#stale ? this.#free(false) : { entries: this.#entries, bytes: this.#bytes };
    const [entries, bytes] = [maxBufferedEntries - free.entries, maxBufferedBytes - free.bytes];
    const holds = `it holds ${entries} entries and ${bytes} bytes`;
    const message = `${this.#name} is full: ${holds}; slow down, or raise its limits`;
    return new SluiceError("SLUICE_ERR_BATCHER_FULL", message);
  }

  /** The limits have changed, or something has left. */
  forget(): void {
    this.#entries = 0;
    this.#bytes = 0;
    this.#stale = true;
  }

  #free(dropped: boolean): { entries: number; bytes: number } {
    const { maxBufferedEntries, maxBufferedBytes } = this.#settings();
    const free = { entries: maxBufferedEntries, bytes: maxBufferedBytes };
    for (const { heldEntries, heldBytes, accumulator } of this.#holders) {
      free.entries -= heldEntries - (dropped ? accumulator.entries : 0);
      free.bytes -= heldBytes - (dropped ? accumulator.bytes : 0);
    }
    return free;
  }
}
