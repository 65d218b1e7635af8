package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestSplitShort(t *testing.T) {
	t.Parallel()
	commands := []*cli.Command{newRunCommand(), newInspectCommand()}
	for _, c := range []struct{ in, want string }{
		{"pgmove run -j4 -npublic -Tlog", "pgmove run --jobs 4 --schema public --exclude-table log"},
		{"pgmove run -j 4 --jobs=4 -j=4", "pgmove run --jobs 4 --jobs=4 --jobs=4"},
		{"pgmove run -T a --exclude-table b -N c", "pgmove run --exclude-table a --exclude-table b --exclude-schema c"},
		{"pgmove run -t -j4 -j4", "pgmove run --table -j4 --jobs 4"}, // the value of -t
		{"pgmove run --source -j4 -jobs 4", "pgmove run --source -j4 --jobs 4"},
		{"pgmove run -table x -target y -no-owner -nothing", "pgmove run --table x --target y --no-owner --schema othing"},
		{"pgmove run -t*.a? -", "pgmove run --table *.a? -"},
		{"pgmove run -s -c --unknown -x4 -- -j4", "pgmove run --schema-only --clean --unknown -x4 -- -j4"},
		{"pgmove inspect -j4 x", "pgmove inspect -j4 x"},
		{"pgmove other -j4", "pgmove other -j4"},
		{"pgmove -j4", "pgmove -j4"},
		{"pgmove run -j", "pgmove run --jobs"},
	} {
		if got := splitShort(strings.Fields(c.in), commands); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %q, want %s", c.in, got, c.want)
		}
	}
}
