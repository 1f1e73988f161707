/** As the client of a deploy sends it. */
export interface PackageInput {
  /** `marked@18.0.0`, for people. */
  name: string;
  /** The files that functions import; the others are what these share. */
  entries: string[];
  /** Name -> text of an ES module. */
  files: Record<string, string>;
}

/** What a function's spec says of one. */
export interface PackageRef {
  hash: string;
  name: string;
  bytes: number;
  entries: string[];
}

/** As it comes with a deploy, checked. */
export interface Package extends PackageRef {
  /** What is stored. */
  content: Buffer;
}

export interface StoredPackage extends PackageRef {
  /** Absolute path on the host. */
  path: string;
}
