/**
 * Reading fields of items by name, where any name is just a name.
 */

/** Every plain object has something under this name, although nobody put it there. */
export const isInherited = (name: string): boolean => name in Object.prototype;

/** The value of a field; `undefined` where the item has no such field. */
export function fieldOf(item: object, name: string): unknown {
  if (isInherited(name) && !Object.hasOwn(item, name)) return undefined;
  return (item as Readonly<Record<string, unknown>>)[name];
}
