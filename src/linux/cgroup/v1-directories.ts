/** One v1 group is up to six directories, one a hierarchy, fewer where controllers share a mount. */

export const V1_CONTROLLERS = ['memory', 'pids', 'cpuset', 'cpuacct', 'cpu', 'freezer'] as const;
type V1Controller = (typeof V1_CONTROLLERS)[number];
/** Directory of a group in each hierarchy that has the controller. */
export type Directories = Partial<Record<V1Controller, string | undefined>>;

/** Each directory once. */
export function unique(directories: Directories): string[] {
  return [...new Set(V1_CONTROLLERS.flatMap((controller) => directories[controller] ?? []))];
}

/** Those of the group `name` below. */
export function within(root: Directories, name: string): Directories {
  const entries = Object.entries(root).map(([controller, directory]) => [controller, `${directory}/${name}`]);
  return Object.fromEntries(entries) as Directories;
}
