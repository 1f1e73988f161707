/** What a Redis server's error means for its operator. Codes: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors */

const ADVICE: ReadonlyArray<[code: RegExp, wayOut: string]> = [
  [/\b(NOAUTH|WRONGPASS)\b/, 'give the right user and password in its url, redis://user:password@host:port'],
  [/\bNOPERM\b/, 'allow its user that command, in its ACL (ACL SETUSER)'],
  [/\bLOADING\b/, 'it goes on by itself when Redis has loaded its data'],
  [/\b(READONLY|MASTERDOWN)\b/, 'that server is a replica: name its primary in the url'],
  [/\bOOM\b/, "raise the server's maxmemory, or remove what it need not hold"],
  [/\bMISCONF\b/, "see to that server's disk, on which it can save nothing"],
  [/\bNOREPLICAS\b/, 'bring its replicas back, or lower its min-replicas-to-write'],
  [/\b(MOVED|ASK|CLUSTERDOWN|CROSSSLOT|TRYAGAIN)\b/, 'name a server that is not part of a cluster'],
  [/unknown command/i, 'NEMO needs Redis 6.2 or later'],
];

/** Undefined for an error that says enough. */
export function redisAdvice(error: string): string | undefined {
  return ADVICE.find(([code]) => code.test(error))?.[1];
}

/** A connection that stays with a server that has become a replica would stay so for ever: its name may lead elsewhere now. */
export function isOfReplica({ message }: Error): boolean {
  return /\b(READONLY|MASTERDOWN)\b/.test(message);
}
