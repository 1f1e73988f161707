/** Does nothing: what is left is the platform's own cost. */
export default () => undefined;
