package report

import (
	"math"
	"slices"
)

// Summary of a metric over the repetitions.
type Summary struct {
	N                int
	Median, Min, Max float64
}

func summarise(byRep map[int]float64) Summary {
	if len(byRep) == 0 {
		return Summary{}
	}
	var v []float64
	for _, x := range byRep {
		v = append(v, x)
	}
	return Summary{len(v), Quantile(v, 0.5), slices.Min(v), slices.Max(v)}
}

// Quantile is the q-quantile, interpolated between neighbours; 0 of nothing.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	at := q * float64(len(v)-1)
	low := math.Floor(at)
	i := int(low)
	if i+1 == len(v) {
		return v[i]
	}
	return v[i] + (at-low)*(v[i+1]-v[i])
}
