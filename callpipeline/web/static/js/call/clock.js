// Seconds as m:ss, or h:mm:ss from an hour on; and from an address, where they may be anything.
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function secondOf(href) {
  const value = new URL(href, location.href).searchParams.get("t");
  const second = value === null || value.trim() === "" ? NaN : Number(value);
  return Number.isFinite(second) && second >= 0 ? second : null;
}

// The index of the last of `times`, which are in order, that is not after `at`; -1 before the first.
export function lastNotAfter(times, at) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
