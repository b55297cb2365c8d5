// Numbers as text.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const two = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// A narrow space that does not break.
const SPACE = "\u202f";

// Scales by thousands.
function scaled(value, names, format) {
  let power = 0;
  while (Math.abs(value) >= 999.5 && power < names.length - 1) {
    value /= 1000;
    power += 1;
  }
  return `${(power === 0 ? format : digits).format(value)}${names[power]}`;
}

export function count(value) {
  return value < 9_999.5 ? whole.format(value) : scaled(value, ["", "k", "M", "G", "T"], whole);
}

// How often something happens: a tenth matters if it is rare.
export function rate(value) {
  return value < 9.95 ? tenths.format(value) : count(value);
}

export function bytes(value) {
  return scaled(value, [" B", " kB", " MB", " GB", " TB"].map((name) => name.replace(" ", SPACE)), whole);
}

export function duration(micros) {
  if (micros < 999.5) return `${whole.format(micros)}${SPACE}µs`;
  if (micros < 999_500) return `${two.format(micros / 1000)}${SPACE}ms`;
  return `${two.format(micros / 1_000_000)}${SPACE}s`;
}

export function clock(at) {
  return time.format(at);
}

// A time span, such as `1 h 5 min`.
export function span(millis) {
  const seconds = Math.max(0, Math.round(millis / 1000));
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days}${SPACE}d ${hours % 24}${SPACE}h`;
  if (hours > 0) return `${hours}${SPACE}h ${minutes % 60}${SPACE}min`;
  return minutes > 0 ? `${minutes}${SPACE}min ${seconds % 60}${SPACE}s` : `${seconds}${SPACE}s`;
}

// The marks of an axis from 0 to `end`: at most `most` after that of 0, in steps of 1, 2, 2.5 or 5 times a power of ten.
export function marks(end, most, isWhole = false) {
  const power = 10 ** Math.floor(Math.log10(end / most));
  const steps = [1, 2, 2.5, 5, 10].map((factor) => factor * power).filter((step) => !isWhole || Number.isInteger(step));
  const step = steps.find((step) => step >= (end / most) * (1 - 1e-9)) ?? 1;
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => index * step);
}
