import { createRequire } from 'node:module'

/** Environment variable that turns the foreign function interface off when set to anything but the empty string. */
export const NO_FFI_VARIABLE = 'SKILFISH_NO_FFI'

/** What we use of the package `koffi`, which may be missing where our types are read. */
export interface Ffi {
  /**
   * Opens a library by its name, or with null this program together with the libraries that it is linked with.
   * `func` takes a function's prototype in C and returns it, to be cast to its type. Both throw when there is no such thing.
   */
  load(name: string | null): { func(prototype: string): unknown }
  /** That of the last call on this thread. */
  errno(): number
}

/**
 * Loads the foreign function interface (the optional package `koffi`), for Linux only.
 *
 * @returns undefined, never an error, where it cannot be used: koffi is not installed or has no binary for this platform, the system
 * is not Linux, or {@link NO_FFI_VARIABLE} is set.
 */
function loadFfi(): Ffi | undefined {
  if (process.platform !== 'linux' || process.env[NO_FFI_VARIABLE]) return undefined
  try {
    return createRequire(import.meta.url)('koffi') as Ffi
  } catch {
    return undefined
  }
}

/**
 * Makes a loader of functions, which are bound once per process, on first use.
 *
 * @param bind may throw when there is no such library or function
 * @returns a loader that returns undefined, and never throws, where {@link loadFfi} does or `bind` throws
 */
export function boundOnce<Functions>(bind: (ffi: Ffi) => Functions): () => Functions | undefined {
  let bound: Functions | undefined
  return () => {
    const ffi = loadFfi()
    if (ffi === undefined) return undefined
    try {
      return (bound ??= bind(ffi))
    } catch {
      return undefined
    }
  }
}
