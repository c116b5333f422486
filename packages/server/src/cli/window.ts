/** Bounds how much is under way at once. */
export interface Window {
  /** Takes work that has begun and never rejects. */
  track(work: Promise<void>): void;
  /** Resolves while less than the size is under way. */
  room(): Promise<void>;
  /** Resolves once nothing is. */
  idle(): Promise<void>;
}

interface Waiting {
  readonly most: number;
  readonly resolve: () => void;
}

/** Creates a window with nothing under way. */
export function createWindow(size: number): Window {
  let underWay = 0;
  let waiting: readonly Waiting[] = [];

  const end = (): void => {
    underWay -= 1;
    if (waiting.length === 0) return;
    for (const { most, resolve } of waiting) if (underWay <= most) resolve();
    waiting = waiting.filter(({ most }) => underWay > most);
  };
  const until = async (most: number): Promise<void> => {
    if (underWay <= most) return;
    await new Promise<void>((resolve) => {
      waiting = [...waiting, { most, resolve }];
    });
  };
  return {
    track(work) {
      underWay += 1;
      void work.then(end);
    },
    room: () => until(size - 1),
    idle: () => until(0),
  };
}
