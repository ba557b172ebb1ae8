// Formatting, parsing and searching times in seconds.

// Formats seconds as m:ss, or h:mm:ss from one hour.
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// The `t` parameter of a URL; null if it is missing or invalid.
export function secondOf(href) {
  const value = new URL(href, location.href).searchParams.get("t");
  const second = value === null || value.trim() === "" ? NaN : Number(value);
  return Number.isFinite(second) && second >= 0 ? second : null;
}

// The index of the last of the sorted `times` that is not after `at`; -1 if all are.
export function lastIndexAt(times, at) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
