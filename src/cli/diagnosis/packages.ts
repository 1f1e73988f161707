/** Debian packages that `nemo doctor --install` installs, by what needs them. */

/** Packages without which no command that touches packets or functions can run. */
export const RUNTIME_PACKAGES = ['iproute2', 'bubblewrap'] as const;
/** The NFs that nobody here wrote, for test/e2e/real-nf. */
export const REAL_NF_PACKAGES = [
  'nginx-light',
  'haproxy',
  'nftables',
  'wireguard-tools',
  'wireguard-go',
  'dpdk-dev',
  'openvswitch-switch-dpdk',
] as const;
/** What the tests need beyond that: a browser for the console, Redis for the store, QEMU for a cgroup v2 kernel, NFs. */
export const TEST_PACKAGES = [
  'musl-tools',
  'chromium',
  'redis-server',
  'qemu-system-x86',
  'runc',
  'busybox-static',
  'docker-registry',
  'skopeo',
  'umoci',
  // Real traffic through the reference NFs.
  'curl',
  'iputils-ping',
  'python3',
  // Foreign clients of a running agent.
  'apache2-utils',
  'wrk',
  'netcat-openbsd',
  'python3-requests',
  'python3-redis',
  'python3-websocket',
  'python3-websockets',
  ...REAL_NF_PACKAGES,
] as const;
