package pgarchive_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgarchive"
)

// TestDamagedFolder damages a real archive in ways that a copy of it suffers.
func TestDamagedFolder(t *testing.T) {
	p := testbed.Shared(t, 17)
	db, _ := source(t, p)
	good := stock(t, 17, p, db, "--compress=gzip")
	l, _, _ := load(t, open(t, good))
	var table, blob string
	r, _, _, err := pgarchive.Open(t.Context(), open(t, good), "the archive")
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := r.Plan(t.Context())
	for _, c := range plan {
		if c.Table == l.entries["TABLE DATA public.plain"].ID {
			table = c.Key
		}
	}
	blob = stream.BlobKey(70002, stream.Gzip)
	lists, err := filepath.Glob(filepath.Join(good, "blobs_*.toc"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("no list of large objects: %v", err)
	}
	list := filepath.Base(lists[0])
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(good, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain := strings.TrimSuffix(table, ".gz")
	for name, c := range map[string]struct {
		change func(m memory)
		says   string
		late   bool // found when the rows are read
	}{
		"no index":            {func(m memory) { delete(m, "toc.dat") }, "toc.dat", false},
		"index cut short":     {func(m memory) { m["toc.dat"] = m["toc.dat"][:2000] }, "toc.dat", false},
		"index with a tail":   {func(m memory) { m["toc.dat"] = append(m["toc.dat"], 0) }, "toc.dat", false},
		"index of text":       {func(m memory) { m["toc.dat"] = []byte("-- PostgreSQL database dump") }, "not a pg_dump archive", false},
		"newer index":         {func(m memory) { m["toc.dat"][6] = 99 }, "unsupported archive version", false},
		"no data file":        {func(m memory) { delete(m, table) }, plain + " is missing", false},
		"two data files":      {func(m memory) { m[plain] = []byte("\\.\n\n\n") }, "both there", false},
		"three data files":    {func(m memory) { m[plain+".zst"], m[plain+".lz4"] = nil, nil }, "both there", false},
		"no large object":     {func(m memory) { delete(m, blob) }, "blob_70002.dat is missing", false},
		"no list":             {func(m memory) { delete(m, list) }, list, false},
		"list cut short":      {func(m memory) { m[list] = m[list][:len(m[list])-3] }, list, false},
		"list without a line": {func(m memory) { m[list] = m[list][bytes.IndexByte(m[list], '\n')+1:] }, "has no data", false},
		"list with one twice": {func(m memory) { m[list] = append(m[list], m[list]...) }, "two entries have the file", false},
		"list leads away":     {func(m memory) { m[list] = []byte("70001 ../../etc/passwd\n") }, list, false},
		"list of nonsense":    {func(m memory) { m[list] = []byte(strings.Repeat("x", 10000)) }, list, false},
		"list names the rows": {func(m memory) { m[list] = []byte("70001 " + plain + "\n") }, list, false},
		"rows cut short":      {func(m memory) { m[table] = m[table][:len(m[table])/2] }, table, true},
		"rows of noise":       {func(m memory) { m[table] = []byte("not gzip at all") }, table, true},
		"empty file":          {func(m memory) { m[table] = nil }, table, true},
		"no end mark":         {func(m memory) { delete(m, table); m[plain] = []byte("1\ta\t\\N\t\\N\t\\N\n") }, plain, true},
		"blob cut short":      {func(m memory) { m[blob] = m[blob][:len(m[blob])/2] }, blob, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := memory{}
			files, err := os.ReadDir(good)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				m[f.Name()] = read(f.Name())
			}
			c.change(m)
			r, _, _, err := pgarchive.Open(t.Context(), m, "the archive")
			if c.late {
				if err != nil {
					t.Fatal(err)
				}
				_, err = readAll(t.Context(), r)
			}
			wantKind(t, err, stream.Integrity)
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: it doesn't say %q", err, c.says)
			}
		})
	}
}

// TestUnpacked reads an archive whose files were unpacked by hand, some of them, as pg_restore does.
func TestUnpacked(t *testing.T) {
	p := testbed.Shared(t, 15)
	db, role := source(t, p)
	dir := stock(t, 15, p, db)
	files, err := filepath.Glob(filepath.Join(dir, "*.dat.gz"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files[:len(files)/2] {
		if out, err := exec.CommandContext(t.Context(), "gunzip", f).CombinedOutput(); err != nil {
			t.Fatalf("gunzip: %v\n%s", err, out)
		}
	}
	check(t, open(t, dir), p, db, role)
	if err := os.WriteFile(filepath.Join(dir, "99999.dat"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, warnings := load(t, open(t, dir))
	if len(warnings) != 1 || !strings.Contains(warnings[0], "99999.dat") {
		t.Errorf("warnings %q", warnings)
	}
}

// TestOtherFormats refuses the formats that are no directory archive.
func TestOtherFormats(t *testing.T) {
	p := testbed.Shared(t, 15)
	db := testbed.Database(t, p)
	bin, _ := testbed.ClientBin(15)
	for format, kind := range map[string]stream.Kind{"custom": stream.Preflight, "tar": stream.Integrity, "plain": stream.Integrity} {
		b, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--format="+format, "--dbname="+p.URL(db)).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, err = pgarchive.Open(t.Context(), memory{"toc.dat": b}, "the archive")
		wantKind(t, err, kind)
	}
	for name, c := range map[string]struct {
		m    memory
		kind stream.Kind
	}{
		"nothing":    {memory{}, stream.Integrity},
		"a stranger": {memory{"README": nil}, stream.Integrity},
		"packed":     {memory{"toc.dat.gz": nil}, stream.Preflight},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := pgarchive.Open(t.Context(), c.m, "the archive")
			wantKind(t, err, c.kind)
		})
	}
}
