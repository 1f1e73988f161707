/** What somebody deployed, before an engine looked at it. */
/** Who waits for the answer to a deploy. */
export interface Asker {
  /** The network that it comes from. */
  client: string;
  /** Aborted when it has left. */
  left: AbortSignal;
}
