package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// mariaServers are two servers, of which the first is moved from.
func mariaServers(t *testing.T) (from, to *testbed.MariaDB) {
	t.Helper()
	return testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
}

// mustBeEqualMaria fails the test where the oracle finds a difference.
func mustBeEqualMaria(t *testing.T, from *testbed.MariaDB, src string, to *testbed.MariaDB, dst string, ignore ...string) {
	t.Helper()
	d, err := testbed.MariaDifference(t.Context(), from, src, to, dst, ignore...)
	if err != nil {
		t.Fatal(err)
	}
	if d != "" {
		t.Errorf("source and target differ:\n%s", d)
	}
}

// TestMySQLEverything moves the fixture of all traps from one server to another, each way.
func TestMySQLEverything(t *testing.T) {
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaFixture(t, from, src)
	s3 := testbed.SharedS3(t)
	for _, kv := range s3.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"direct", nil},
		{"direct in chunks", []string{"--split-size", "16kB", "--jobs", "4"}},
		{"directory in chunks", []string{"--split-size", "32kB", "--via", "file://" + t.TempDir() + "/a"}},
		{"S3", []string{"--split-size", "64kB", "--s3-path-style", "--via", "s3://" + testbed.Bucket(t, s3) + "/some/prefix"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := testbed.MariaDatabase(t, src, to) // servers print their names into definitions
			out := mustExit(t, 0, append([]string{"run", "--source", from.URL(src), "--target", to.URL(dst)}, c.args...)...)
			mustBeEqualMaria(t, from, src, to, dst)
			wantText(t, out, "equal", "foreign key own of table tree: 1 rows violate it")
			if strings.Contains(out, from.Password()) || strings.Contains(out, to.Password()) {
				t.Errorf("the output shows a password:\n%s", out)
			}
		})
	}
}

// myloader has stock myloader load an archive.
func myloader(t *testing.T, m *testbed.MariaDB, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "myloader", "--host=127.0.0.1", fmt.Sprintf("--port=%d", m.Port()), "--user="+m.User(), "--password="+m.Password(), "--directory="+dir, "--threads=2", "--verbose=2")
	cmd.Dir = dir // where it looks for the files that statements name
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(strings.ToUpper(string(out)), "CRITICAL") {
		t.Fatalf("myloader: %v\n%s", err, out)
	}
}

// TestMySQLStockLoader: stock myloader restores an archive of pgmove's whole, and so does pgmove when its own part is gone.
func TestMySQLStockLoader(t *testing.T) {
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaFixture(t, from, src)
	dir := t.TempDir() + "/a"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir, "--split-size", "32kB", "--compress", "none")
	testbed.MariaDatabase(t, src, to)
	myloader(t, to, dir)
	mustBeEqualMaria(t, from, src, to, src, testbed.TrailingBlanks)
}
