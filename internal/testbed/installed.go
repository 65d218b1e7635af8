package testbed

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// OldestMajor is the oldest major version of PostgreSQL that is looked for.
const OldestMajor = 12

// distributionBins are the folders in which distributions put the programs of one
// major version; the star stands for its number.
var distributionBins = []string{
	"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
	"/usr/pgsql-*/bin",          // the PostgreSQL project's packages for Red Hat's
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
}

// serverBins and clientBins are the patterns of the folders with servers and with
// clients, the distribution's first.
func serverBins() []string {
	return append(slices.Clone(distributionBins), filepath.Join(ToolsDir(), "postgresql-*/bin"))
}

func clientBins() []string {
	return append(slices.Clone(distributionBins), filepath.Join(ToolsDir(), "client-*/bin"))
}

// find returns, by major version, the first of the patterns' folders that holds all programs.
func find(patterns []string, programs ...string) map[int]string {
	found := make(map[int]string)
	for _, pattern := range patterns {
		before, after, _ := strings.Cut(pattern, "*")
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			continue // ToolsDir() has a character that a pattern can't have
		}
		for _, dir := range dirs {
			major, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(dir, before), after))
			if err != nil || major < OldestMajor || found[major] != "" {
				continue
			}
			if !slices.ContainsFunc(programs, func(p string) bool { return !isFile(filepath.Join(dir, p)) }) {
				found[major] = dir
			}
		}
	}
	return found
}

func sorted(found map[int]string) []int {
	majors := make([]int, 0, len(found))
	for m := range found {
		majors = append(majors, m)
	}
	slices.Sort(majors)
	return majors
}

// Majors returns the major versions of which a server is installed, in order.
func Majors() []int { return sorted(find(serverBins(), "initdb", "postgres")) }

// ClientMajors returns the major versions of which psql, pg_dump and pg_restore
// are installed, in order.
func ClientMajors() []int { return sorted(find(clientBins(), "psql", "pg_dump", "pg_restore")) }

// ServerBin returns the folder with the server's programs (initdb and postgres; only
// a distribution's has more) of the major version, and whether there is one.
func ServerBin(major int) (dir string, ok bool) {
	dir, ok = find(serverBins(), "initdb", "postgres")[major]
	return dir, ok
}

// ClientBin returns the folder with psql, pg_dump and pg_restore of the major
// version, and whether there is one. pg_dump refuses servers newer than itself;
// NewestClient is for those who only need one that will do.
func ClientBin(major int) (dir string, ok bool) {
	dir, ok = find(clientBins(), "psql", "pg_dump", "pg_restore")[major]
	return dir, ok
}

// NewestClient returns the newest major version of the client programs and
// their folder; 0 where there are none.
func NewestClient() (major int, dir string) {
	for m, d := range find(clientBins(), "psql", "pg_dump", "pg_restore") {
		if m > major {
			major, dir = m, d
		}
	}
	return major, dir
}

// DefaultMajor is the major version that tests run on which don't name one:
// $PGMOVE_TEST_MAJOR, else the newest that the distribution has both server and
// clients of, else the newest server there is; 0 where there is none.
func DefaultMajor() int {
	if m, err := strconv.Atoi(os.Getenv("PGMOVE_TEST_MAJOR")); err == nil {
		return m
	}
	if all := sorted(find(distributionBins, "initdb", "postgres", "psql", "pg_dump", "pg_restore")); len(all) > 0 {
		return all[len(all)-1]
	}
	if all := Majors(); len(all) > 0 {
		return all[len(all)-1]
	}
	return 0
}

// Missing returns what install.sh could not install here, a line each with the reason;
// nil where it installed all.
func Missing() []string {
	b, err := os.ReadFile(filepath.Join(ToolsDir(), "missing"))
	if err != nil || len(strings.TrimSpace(string(b))) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}
