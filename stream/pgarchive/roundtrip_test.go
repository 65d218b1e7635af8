package pgarchive_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/pgarchive"
)

// ownArchive has pgmove dump a database in small chunks, and takes pgmove's own metadata away.
func ownArchive(t *testing.T, p *testbed.Postgres, db, format string, z stream.Compression) stream.Store {
	t.Helper()
	ctx := t.Context()
	conn, err := pgsession.Parse(p.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	bin, _ := testbed.ClientBin(p.Major())
	src, err := pgsource.Open(ctx, conn, pgsource.Options{Jobs: 2, SplitSize: 64 << 10, Format: format, BinDir: bin})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dir := t.TempDir()
	s, err := filestore.Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := dump.Run(ctx, src, stream.NewWriter(s, false, z), dump.Options{Jobs: 2, Run: "3f0e5d5e-0000-4000-8000-000000000000", Tool: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "pgmove")); err != nil {
		t.Fatal(err)
	}
	return s
}

// restoreTo restores an archive to a new database and returns its name.
func restoreTo(t *testing.T, s stream.Store, p *testbed.Postgres) string {
	t.Helper()
	ctx := t.Context()
	r, contents, warnings, err := pgarchive.Open(ctx, s, "the archive")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("warnings: %q", warnings)
	db := testbed.Database(t, p)
	conn, err := pgsession.Parse(p.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	target, err := pgtarget.Open(ctx, conn, pgtarget.Options{Sessions: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := restore.Run(ctx, r, target, restore.Options{Jobs: 2}); err != nil {
		t.Fatal(err)
	}
	if err := target.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	contents.Count(r.Taken())
	plain := slices.IndexFunc(contents.Tables, func(c stream.TableContents) bool { return c.Table.Name == "plain" })
	if plain < 0 || contents.Tables[plain].Digest.Rows != 20000 {
		t.Errorf("contents after the restore: %+v", contents.Tables)
	}
	return db
}

// TestRoundTrip restores archives of stock pg_dump, and of pgmove without its metadata, and compares the databases.
func TestRoundTrip(t *testing.T) {
	for major, z := range map[int]stream.Compression{15: stream.Gzip, 17: stream.Zstd} {
		p := testbed.Shared(t, major)
		db, _ := source(t, p)
		testbed.SQL(t, p, db, "VACUUM public.plain")
		testbed.MustBeEqual(t, p, db, p, restoreTo(t, open(t, stock(t, major, p, db)), p))
		for _, format := range []string{"text", "binary"} {
			own := ownArchive(t, p, db, format, z)
			r, _, _, err := pgarchive.Open(t.Context(), own, "the archive")
			if err != nil {
				t.Fatal(err)
			}
			plan, _ := r.Plan(t.Context())
			parts := 0
			for _, c := range plan {
				parts = max(parts, c.Of)
				if c.Format != format && c.Of > 1 {
					t.Errorf("chunk %+v, want format %s", c, format)
				}
			}
			if parts < 4 {
				t.Errorf("%s: %d parts at most", format, parts)
			}
			testbed.MustBeEqual(t, p, db, p, restoreTo(t, own, p))
		}
	}
}
