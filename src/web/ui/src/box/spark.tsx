// A line without axes: the last minute of a rate.

import type { JSX } from 'preact';

const WIDTH = 120;
const HEIGHT = 26;

export function Spark({ values }: { values: number[] }): JSX.Element | null {
  if (values.length < 2) return <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />;
  const high = Math.max(...values, 1e-9);
  const points = values.map((value, at) => `${((at / (values.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 2 - (value / high) * (HEIGHT - 4)).toFixed(1)}`);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="spark-area" d={`M0,${HEIGHT} L${points.join(' L')} L${WIDTH},${HEIGHT} Z`} />
      <path class="spark-line" d={`M${points.join(' L')}`} fill="none" vector-effect="non-scaling-stroke" />
    </svg>
  );
}
