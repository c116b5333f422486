/** The types, used as a caller uses them. `npm run check -- types` compiles this file. */
type Equal<A, B> = [A, B] extends [B, A] ? true : false;
const holds = <T extends true>(): T | undefined => undefined;

holds<Equal<1, 1>>();
// @ts-expect-error: the comparison itself is worth something only if it can fail.
holds<Equal<1, 2>>();
