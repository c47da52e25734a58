/** Numbers as people read them. */

export function percent(probability: number): string {
  const hundredfold = probability * 100;
  if (hundredfold === 0) return "0%";
  if (hundredfold < 0.01) return "<0.01%";
  if (hundredfold >= 99.95 && probability < 1) return ">99.9%";
  return `${hundredfold.toFixed(hundredfold < 1 ? 2 : 1)}%`;
}

export function signed(value: number, digits = 2): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

/** A count of parameters or tokens: 135M, 1.9M, 4,096. */
export function count(value: number): string {
  for (const [size, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"]] as const) {
    if (value >= size) return `${(value / size).toFixed(value / size < 10 ? 1 : 0)}${unit}`;
  }
  return Math.round(value).toLocaleString("en");
}

export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 0.001 || size >= 1e6 ? value.toExponential(2).replace(/\.?0+e/, "e") : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}
