/** How many items share a sum: each is a digit of its own, so that the sum tells them apart. */
export const DIGITS = 4;

/** How many items share a key of the tables that keep the newest of them. */
export const VERSIONS = 5;

/**
 * @param {number} round
 * @param {number} id
 */
export const itemName = (round, id) => `${round}-${id}`;

/**
 * What the item `id` of a round is to each table.
 * @param {number} round
 * @param {number} id
 */
export function itemsOf(round, id) {
  const name = itemName(round, id);
  const keyOf = (/** @type {number} */ share) => `${round}-${Math.floor(id / share)}`;
  return {
    usage: { k: keyOf(DIGITS), n: 16 ** (id % DIGITS) },
    people: { k: keyOf(VERSIONS), seen: id },
    newest: { k: keyOf(VERSIONS), v: `text of ${name}`, rev: id },
    entries: { id: name, v: `text of ${name}` },
  };
}
