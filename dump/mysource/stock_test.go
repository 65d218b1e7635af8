package mysource_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// stockHead begins each file with SQL of a mydumper directory. Names are utf8mb4 where mydumper writes binary, under which
// an ENUM's members in UCS-2 or KOI8-R would be other ones. Rows with a past need the last setting, which
// others than MariaDB 10.11 and newer take for a comment.
const stockHead = "/*!40101 SET NAMES utf8mb4*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n/*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'*/;\n" +
	"/*!40103 SET TIME_ZONE='+00:00' */;\n/*M!101100 SET SESSION system_versioning_insert_history=1 */;\n"

// TestStockLoader: chunks are what stock myloader loads, with the statements that are theirs.
func TestStockLoader(t *testing.T) {
	from, to := testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
	db := testbed.MariaDatabase(t, "", from, to)
	testbed.MariaFixture(t, from, db)
	s := open(t, from.URL(db), mysource.Options{Jobs: 2})
	_, entries := entriesOf(t, s)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	metadata := "# Started dump at: 2026-11-21 10:00:00\n[config]\nquote-character = BACKTICK\nlocal-infile = 1\n\n"
	write(db+"-schema-create.sql", "CREATE DATABASE IF NOT EXISTS `"+db+"`;\n")
	g := newTarget(t, to, db)
	g.pin()
	files := map[stream.Text]string{}
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Desc == "SEQUENCE":
			g.exec(e) // which myloader of that age can't
		case e.Desc == "TABLE":
			files[e.Tag] = fmt.Sprintf("%s.t%04d", db, i)
			write(files[e.Tag]+"-schema.sql", stockHead+string(e.Defn)+";\n")
		case e.Table != nil:
			_, rows := chunk(t, s, entries, string(e.Tag))
			file := files[e.Tag] + ".00000"
			write(file+".dat", string(rows))
			write(file+".sql", stockHead+strings.Replace(string(e.CopyStmt), "INFILE ''", "INFILE '"+file+".dat'", 1)+";\n")
			metadata += fmt.Sprintf("[`%s`.`%s`]\nreal_table_name=%s\nrows = %d\n\n", db, strings.TrimPrefix(files[e.Tag], db+"."), e.Tag, bytes.Count(rows, []byte("\n")))
		}
	}
	write("metadata", metadata+"# Finished dump at: 2026-11-21 10:00:01\n")
	cmd := exec.CommandContext(t.Context(), "myloader", "--host=127.0.0.1", fmt.Sprintf("--port=%d", to.Port()), "--user="+to.User(), "--password="+to.Password(), "--directory="+dir, "--threads=1", "--verbose=2")
	cmd.Dir = dir // where it looks for what a statement names
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("myloader: %v\n%s", err, out)
	}
	d, err := testbed.MariaDifference(t.Context(), from, db, to, db)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(d, "\n") {
		if strings.HasPrefix(line, "table ") { // of the schema only tables without their indexes were moved
			t.Error(line)
		}
	}
}
