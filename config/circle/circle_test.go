package circle

import (
	"math/rand/v2"
	"testing"
)

// Whatever leads where: a circle is found if, and only if, there is a way round, and
// by the first of it alone.
func TestAround(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 5000 {
		n := 1 + r.IntN(6)
		var edge, way [6][6]bool
		for i := range n {
			for j := range n {
				edge[i][j] = r.IntN(4) == 0
			}
		}
		for i := range n {
			// The ways among i and those after it, by Warshall.
			for a := i; a < n; a++ {
				for b := i; b < n; b++ {
					way[a][b] = a != b && edge[a][b]
				}
			}
			for via := i; via < n; via++ {
				for a := i; a < n; a++ {
					for b := i; b < n; b++ {
						way[a][b] = way[a][b] || way[a][via] && way[via][b]
					}
				}
			}
			got := around(n, i, func(a, b int) bool { return edge[a][b] })
			if (got >= 0) != way[i][i] || got >= 0 && (got <= i || !edge[got][i] || !way[i][got]) {
				t.Fatalf("%d of %d: %d, edges %v", i, n, got, edge)
			}
			if got >= 0 {
				found++
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d circles", found)
	}
}
