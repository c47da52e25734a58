import { beforeEach, describe, expect, it, vi } from "vitest";
import { request, requestJson } from "../src/api/client";
import { asFailure, Failure, failureOf, secondsUntil } from "../src/api/failure";
import { keyQuestion, knownKey, takeKeyFromAddress } from "../src/api/key";

const error = (status: number, message: string, headers = {}) =>
  new Response(JSON.stringify({ error: { message, type: "x", param: null, code: null } }), { status, headers });

beforeEach(() => {
  sessionStorage.clear();
  keyQuestion.value = null;
});

describe("failureOf", () => {
  it.each([
    [400, "refused"],
    [403, "key"],
    [404, "missing"],
    [429, "busy"],
    [500, "server"],
  ])("reads %i as %s, in the server's words", async (status, kind) => {
    expect(await failureOf(error(status, "why"))).toMatchObject({ kind, status, message: "why" });
  });

  it("says something where the body is no JSON", async () => {
    expect((await failureOf(new Response("<html>", { status: 502, statusText: "Bad Gateway" }))).message).toContain("502");
  });

  it("knows when to come back, in seconds or as a date", async () => {
    expect((await failureOf(error(429, "later", { "Retry-After": "7" }))).retryAfter).toBe(7);
    expect(secondsUntil("Thu, 01 Jan 1970 00:01:00 GMT", 1000)).toBe(59);
    expect(secondsUntil("soon")).toBeNull();
  });

  it("sends a model without a chat template to the playground", async () => {
    expect((await failureOf(error(400, "no chat template; use /v1/completions"))).meantForCompletions).toBe(true);
    expect((await failureOf(error(400, "temperature is out of range"))).meantForCompletions).toBe(false);
  });

  it("names the field that was wrong", async () => {
    const body = { error: { message: "no", param: "resumed" } };
    expect((await failureOf(new Response(JSON.stringify(body), { status: 400 }))).field).toBe("resumed");
  });

  it("reads a TypeError of fetch as no connection", () => {
    expect(asFailure(new TypeError("Failed to fetch")).kind).toBe("network");
  });
});

describe("request", () => {
  it("asks for a key on 401 and sends the new one", async () => {
    const seen: (string | undefined)[] = [];
    vi.stubGlobal("fetch", async (_: URL, init: RequestInit) => {
      const key = (init.headers as Record<string, string>).Authorization;
      seen.push(key);
      return key === "Bearer good" ? new Response('{"ok":1}') : error(401, "a key is needed");
    });
    const asked = requestJson("v1/models");
    await vi.waitFor(() => expect(keyQuestion.value?.reason).toBe("a key is needed"));
    keyQuestion.value!.answer("good");
    expect(await asked).toEqual({ ok: 1 });
    expect(seen).toEqual([undefined, "Bearer good"]);
    expect(knownKey()).toBe("good");
  });

  it("asks once for requests that fail together, and fails when nobody answers", async () => {
    vi.stubGlobal("fetch", async () => error(401, "a key is needed"));
    const both = [request("a"), request("b")].map((each) => each.catch((failure: Failure) => failure.kind));
    await vi.waitFor(() => expect(keyQuestion.value).not.toBeNull());
    keyQuestion.value!.answer(null);
    expect(await Promise.all(both)).toEqual(["key", "key"]);
  });

  it("says so when the answer is not JSON", async () => {
    vi.stubGlobal("fetch", async () => new Response("<html>"));
    await expect(requestJson("v1/models")).rejects.toMatchObject({ kind: "server" });
  });
});

describe("takeKeyFromAddress", () => {
  it("keeps the key for the tab and takes it out of the address", () => {
    history.replaceState(null, "", "/#key=a%2Bb");
    takeKeyFromAddress();
    expect(knownKey()).toBe("a+b");
    expect(location.hash).toBe("");
  });
});
