/** Which cgroup hierarchies are mounted where, from the text of /proc/self/mountinfo. Pure. */

export interface CgroupMounts {
  /** v1: controller name -> mount point; co-mounted controllers (`cpu,cpuacct`) share one. */
  v1: ReadonlyMap<string, string>;
  /** Mount point of the cgroup2 hierarchy. */
  v2: string | undefined;
}

/** Mounts at or below `mountPoint`, or that contain `mountPoint` (a delegated subtree). */
export function parseCgroupMounts(mountinfo: string, mountPoint: string): CgroupMounts {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [left, right] = line.split(' - ');
    if (left === undefined || right === undefined) continue;
    const path = unescapeOctal(left.split(' ')[4] ?? '');
    const [type, , options] = right.split(' ');
    if (type === 'cgroup2') {
      if (isWithin(path, mountPoint)) v2 ??= path;
      else if (isWithin(mountPoint, path)) v2 ??= mountPoint;
    } else if (type === 'cgroup' && isWithin(path, mountPoint)) {
      for (const option of options?.split(',') ?? []) if (!v1.has(option)) v1.set(option, path);
    }
  }
  return { v1, v2 };
}

/** Mount points of all hierarchies at or below `mountPoint`, also of those without a controller. */
export function allCgroupMounts(mountinfo: string, mountPoint: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const path = unescapeOctal(left.split(' ')[4] ?? '');
    return /^cgroup2? /.test(right) && isWithin(path, mountPoint) ? [path] : [];
  });
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** The kernel writes blanks and backslashes in mount points as octal. */
function unescapeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
