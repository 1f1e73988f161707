/** How sandboxes get a network: one file per kind, and a line in catalogue.ts. Without one, a sandbox has an empty namespace. */

export interface NetworkRequest {
  /** Of the sandbox. */
  id: string;
  functionKey: string;
  /** A descriptor of the sandbox's network namespace; taken over, and closed. */
  namespace: number;
  /** What the function may reach: its allow-list. */
  rules: readonly string[];
  /** Called with messages about barred destinations, a few times at most. */
  onRefused?: (message: string) => void;
}

export interface NetworkManager {
  /**
   * Lets a sandbox reach what its function may, and gives the /etc/hosts that it needs for that. SANDBOX_START if that
   * fails; it leaves nothing open then.
   */
  attach(request: NetworkRequest): Promise<string>;
  /** Ends every connection of a sandbox. No effect on one that has none. */
  detach(id: string): void;
  close(): Promise<void>;
}

/** `allow`: rules of the operator, for addresses that are barred otherwise (see `blocked-addresses.ts`). */
export interface NetworkKind {
  readonly kind: string;
  readonly about: string;
  open(allow: readonly string[]): NetworkManager;
}
