package main

import (
	"os"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestGolden reads the archives that earlier versions wrote.
func TestGolden(t *testing.T) {
	t.Parallel()
	const dir = "../../testdata/archives/"
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	sql, err := os.ReadFile(dir + "golden.sql")
	if err != nil {
		t.Fatal(err)
	}
	testbed.SQL(t, p, src, string(sql))
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"v1-text", nil},
		{"v1-binary", nil},
		{"v1-sealed", []string{"--identity", dir + "v1-sealed.identity", "--mac-key", dir + "v1-sealed.mac-key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mustExit(t, 0, append(append([]string{"verify"}, c.flags...), dir+c.name)...)
			want, err := os.ReadFile(dir + c.name + ".inspect")
			if err != nil {
				t.Fatal(err)
			}
			if _, got, _ := pgmove(t, append(append([]string{"inspect"}, c.flags...), dir+c.name)...); got != string(want) {
				t.Errorf("inspect says\n%s instead of\n%s", got, want)
			}
			dst := testbed.Database(t, p)
			mustExit(t, 0, append(append([]string{"restore"}, c.flags...), "--from", dir+c.name, "--target", p.URL(dst))...)
			testbed.MustBeEqual(t, p, src, p, dst)
		})
	}
}
