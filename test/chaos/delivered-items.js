/** How many items share a sum: each is a digit of its own, so that the sum tells them apart. */
export const DIGITS = 4;

/** How many items share a key of the tables that keep the newest of them. */
export const VERSIONS = 5;

/** A round has no more items. */
export const MOST_ITEMS = 2_000;

/**
 * @param {number} round
 * @param {number} id
 */
export const itemName = (round, id) => `${round}-${id}`;

/** @param {string} question */
export const answerTo = (question) => `answer to ${question}`;

/**
 * What the item `id` of a round is to each table; as a question it is its name.
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
    visits: { id: name, v: `text of ${name}` },
    answers: name,
  };
}
