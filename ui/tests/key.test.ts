import { expect, it } from "vitest";
import { askForKey, keyQuestion } from "../src/api/key";

it("a question takes one answer, and what comes late does not answer the next", async () => {
  const first = askForKey("no key");
  expect(askForKey("no key")).toBe(first);
  const late = keyQuestion.value!;
  late.answer("wrong");
  expect(await first).toBe("wrong");
  const second = askForKey("wrong key");
  late.answer(null); // the event of a dialog that closed
  expect(keyQuestion.value?.reason).toBe("wrong key");
  keyQuestion.value!.answer("right");
  expect(await second).toBe("right");
});
