package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	// The floor runs as a process of this program, which here is the test.
	if len(os.Args) > 1 && os.Args[1] == floorCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestRun moves a very small mix with the floor and with pg_dump, and compares both targets.
func TestRun(t *testing.T) {
	md := filepath.Join(t.TempDir(), "figures.md")
	// No pgmove runs here: any program will do.
	o, err := parseFlags([]string{"-scale=0.002", "-tables=60", "-rounds=2", "-only=floor|psql", "-floor-split", "-pgmove=" + os.Args[0], "-pgcopydb=", "-md", md})
	if err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	b := &bench{options: o, out: &out, log: &log}
	err = b.run(t.Context())
	if cerr := b.close(); cerr != nil {
		t.Error(cerr)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	for _, want := range []string{"the mix, scale 0.002", "60 tables of ten rows", "the floor, largest table in two halves", "pg_dump | psql", "not measured"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
	text, err := os.ReadFile(md)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), t.TempDir()) || strings.Contains(string(text), filepath.Dir(os.Args[0])) {
		t.Errorf("a path of this machine is in the document:\n%s", text)
	}
	if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestCompareFinds: a bench that takes any target for equal would measure nothing.
func TestCompareFinds(t *testing.T) {
	o, err := parseFlags([]string{"-scale=0", "-tables=3", "-only=psql", "-pgmove=" + os.Args[0], "-pgcopydb="})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: o, out: &bytes.Buffer{}, log: &bytes.Buffer{}}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := b.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := b.workloads()[0]
	if err := b.fill(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	want, err := b.contents(t.Context(), b.source, w.db)
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.arena(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for sql, names := range map[string]string{
		"": "",
		"UPDATE many.t2 SET amount = 1.00 WHERE id = 3": "many.t2: source",
		"DELETE FROM many.t1":                           "many.t1: source",
		"CREATE TABLE more (id int)":                    "public.more: only on the target",
		"DROP INDEX many.t3_name":                       "schema, only on the source: CREATE INDEX t3_name",
		"CREATE SEQUENCE s":                             "public.s: only on the target",
	} {
		c := stockWays(b.major)[0]
		plain := c.lines
		c.lines = func(a *arena) []pipeline {
			lines := plain(a)
			if sql != "" {
				psql := lines[0][1]
				lines = append(lines, pipeline{{psql[0], "-X", "-q", "-d", a.target, "-c", sql}})
			}
			return lines
		}
		_, err := b.once(t.Context(), c, a, want)
		switch {
		case names == "" && err != nil:
			t.Errorf("an equal target: %v", err)
		case names != "" && (err == nil || !strings.Contains(err.Error(), names)):
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestClients(t *testing.T) {
	u, err := clients(t.Context(), t.TempDir(), nil, []pipeline{{{"/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done"}, {"/bin/cat"}}})
	if err != nil {
		t.Fatal(err)
	}
	if u.cpu <= 0 || u.rss <= 0 || u.wall <= 0 {
		t.Errorf("%+v", u)
	}
	_, err = clients(t.Context(), t.TempDir(), nil, []pipeline{{{"/bin/sh", "-c", "echo why >&2; exit 3"}, {"/bin/cat"}}})
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("a pipeline whose first command fails: %v", err)
	}
}

func TestGoals(t *testing.T) {
	direct := &contestant{id: "direct", name: "direct", kind: ours}
	pipe := &contestant{id: "pipe", name: "pipe", kind: peer}
	slow := &contestant{id: "archive", name: "archive", kind: peer}
	floor := &contestant{id: "floor", name: "floor", kind: mark}
	s := func(n ...int) (runs []usage) {
		for _, x := range n {
			runs = append(runs, usage{wall: time.Duration(x) * time.Second, cpu: time.Second, rss: 300 << 20})
		}
		return runs
	}
	r := &result{workload: &workload{id: "mix"}, bytes: 2e9, order: []*contestant{direct, pipe, slow, floor}, runs: map[*contestant][]usage{
		direct: s(6, 7, 60), pipe: s(10, 10, 9), slow: s(8, 30, 31), floor: s(4, 5, 6, 7)}}
	want := map[string]string{
		"direct without validation : best peer": "0.70 met", "direct without validation : floor": "1.27 missed",
		"direct with full validation : best peer": "— not measured", "client CPU per GB, direct without validation": "0.50 s met",
		"peak memory, the most of all ways": "300.00 MiB missed",
	}
	for _, row := range goalTable([]*result{r}, []program{{}}) {
		if w, ok := want[row[0]]; ok && w != row[2]+" "+row[3] {
			t.Errorf("%v, want %s", row, w)
		}
		delete(want, row[0])
	}
	if len(want) > 0 {
		t.Errorf("not in the table: %v", want)
	}
}

func TestWriteFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("# Doc\n\n"+beginMark+"\n"+endMark+"\n\nEnd.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := writeFigures(path, text); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); strings.Contains(s, "one") || !strings.Contains(s, "two") || !strings.HasPrefix(s, "# Doc\n") || !strings.HasSuffix(s, "\nEnd.\n") {
		t.Errorf("%s", s)
	}
}

func TestMixIsDeterministic(t *testing.T) {
	steps := func(seed string) string {
		o, err := parseFlags([]string{"-seed", seed, "-scale", "0.1"})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, s := range mixSteps(o) {
			all = append(all, s...)
		}
		return strings.Join(all, "\n")
	}
	first, again, other := steps("1"), steps("1"), steps("2")
	if first != again || first == other {
		t.Error("the statements do not depend on the seed alone")
	}
	if strings.Contains(first, "$") {
		t.Error("a mark was not filled in")
	}
}
