package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestAcrossVersions moves the fixture to newer major versions, of those installed here.
func TestAcrossVersions(t *testing.T) {
	t.Parallel()
	have := testbed.Majors()
	here := testbed.DefaultMajor()
	tried := 0
	for _, pair := range [][2]int{{12, here}, {13, here}, {here, 17}, {here, 18}} {
		from, to := pair[0], pair[1]
		if from >= to || !slices.Contains(have, from) || !slices.Contains(have, to) {
			t.Logf("%d to %d: not both are installed here", from, to)
			continue
		}
		tried++
		t.Run(fmt.Sprintf("%d to %d", from, to), func(t *testing.T) {
			locks := map[string]string{"max_locks_per_transaction": "256"}
			a := testbed.OwnPostgres(t, testbed.PostgresOptions{Major: from, Settings: locks})
			b := testbed.OwnPostgres(t, testbed.PostgresOptions{Major: to, Settings: locks})
			without := append(prepareCluster(t, a), prepareCluster(t, b)...)
			if to >= 17 {
				// From 17 on an index is built under a search_path that nobody can set.
				without = append(without, "needs_search_path_in_maintenance")
			}
			src, dst := database(t, a), database(t, b)
			inStages(t, b, dst)
			loadEverything(t, a, src, testbed.FixtureOptions{Superuser: true, Without: without})
			args := []string{"run", "--source", a.URL(src), "--target", b.URL(dst), "--split-size", "64kB"}
			mustExit(t, 0, append(args, "--pg-bin", clients())...)
			testbed.MustBeEqual(t, a, src, b, dst, stale...)
		})
	}
	if tried == 0 {
		t.Fatal("no pair of versions is installed here: make tools")
	}
}

// clients lists the folders of all client tools that are installed for tests.
func clients() string {
	var dirs []string
	for _, m := range testbed.ClientMajors() {
		if d, ok := testbed.ClientBin(m); ok {
			dirs = append(dirs, d)
		}
	}
	return strings.Join(dirs, string(os.PathListSeparator))
}
