/** Prompts to begin with: the first for models of presidents' messages, the others for any. */

export const EXAMPLES: { label: string; prompt: string }[] = [
  { label: "We the people", prompt: "We the people of the United States" },
  { label: "Opening of a message", prompt: "Fellow-citizens of the Senate and House of Representatives:\n" },
  { label: "State of the Union", prompt: "Mr. Speaker, Mr. Vice President, Members of Congress: Tonight the state of our Union is" },
  { label: "On the Treasury", prompt: "The receipts of the Treasury during the last fiscal year amounted to" },
  { label: "A fact", prompt: "The capital of France is" },
  { label: "A story", prompt: "Once upon a time, in a village by the sea," },
  { label: "A list", prompt: "The planets, in order from the sun: Mercury, Venus," },
  { label: "A program", prompt: "def fibonacci(n):\n    " },
];
