/**
 * Takes the runner's and node's own objects out of the reach of a function that shares their isolate, before its code
 * is there. Node's code assigns properties and calls methods by name on objects whose prototypes a function can get
 * hold of; what it put there would be handed sockets, handles and the real `process`.
 */

const prototypeOf = Object.getPrototypeOf as (of: object) => object | null;

/** Gives `object` prototypes of its own: a frozen copy of all that it inherits now, and nothing behind it. */
export function privatize(object: object): void {
  const inherited = Object.create(null) as object;
  for (let from = prototypeOf(object); from !== null; from = prototypeOf(from)) {
    for (const key of Reflect.ownKeys(from)) {
      // What was nearer hides it. Without a constructor nobody makes another one.
      if (Object.hasOwn(inherited, key) || key === 'constructor') continue;
      Object.defineProperty(inherited, key, Object.getOwnPropertyDescriptor(from, key)!);
    }
  }
  Object.setPrototypeOf(object, Object.freeze(inherited));
}

/** What `handle` inherits from gets no new property, so no setter that is handed it. */
export function closeChain(handle: object): void {
  for (let of = prototypeOf(handle); of !== null; of = prototypeOf(of)) Object.preventExtensions(of);
}

/**
 * Of the language, what arrays, functions and plain objects of node's own inherit from: methods may be replaced, none
 * may be added. And how long bytes are, which the runner asks of what it sends.
 */
export function lockLanguage(): void {
  for (const intrinsic of [Object.prototype, Array.prototype, Function.prototype])
    Object.preventExtensions(intrinsic);
  const typedArray = prototypeOf(Uint8Array.prototype)!;
  for (const name of ['buffer', 'byteLength', 'byteOffset', 'length'])
    Object.defineProperty(typedArray, name, { configurable: false });
  Object.defineProperty(ArrayBuffer.prototype, 'byteLength', { configurable: false });
}

/** A thread speaks to the main thread by ports of its own, which inherit from these. */
export function lockPorts(): void {
  for (let of: object = MessagePort.prototype; of !== Object.prototype; of = prototypeOf(of)!)
    Object.freeze(of);
}
