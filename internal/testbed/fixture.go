package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// A fixture is an SQL script in blocks; testdata/README.md has the format. Each
// block is sent as one simple query: it is one transaction where it has more than one
// statement, and none where it has one.

// Block is one block of a fixture.
type Block struct {
	Name string
	// Line is the line of the file on which SQL starts.
	Line int
	// From and Until are the first and the last major version whose server can take
	// the block; 0 is any.
	From, Until int
	// Superuser says that only a superuser can run the block, or restore what it makes.
	Superuser bool
	// Extension is the contrib extension that the block needs, "" for none.
	Extension string
	// MayExist says that an object which is there already is no failure.
	MayExist bool
	// StockFails says what pg_restore can't restore of what the block makes, "" for
	// nothing.
	StockFails string
	// SQL is the block's text, its header lines with it.
	SQL string
}

// FixtureOptions says which blocks of a fixture are loaded, and how.
type FixtureOptions struct {
	// Major is the server's major version; 0 asks the server. A test that moves data
	// from one version to another gives the older one.
	Major int
	// Superuser says that the blocks which only a superuser can run are wanted.
	Superuser bool
	// Without names blocks and extensions to leave out.
	Without []string
	// WithoutStockFailures leaves out the blocks that pg_restore can't restore.
	WithoutStockFailures bool
	// Only names the blocks to load, of those that are not left out; empty is all.
	Only []string
	// Replace are the placeholders, such as @TABLESPACE_DIR@, and the text that stands
	// for each inside an SQL string. @DATABASE@, the connection's database as
	// an identifier, need not be given.
	Replace map[string]string
}

var placeholder = regexp.MustCompile(`@[A-Z][A-Z_]*@`)

// ReadFixture reads a fixture's blocks.
func ReadFixture(path string) (blocks []Block, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	seen := make(map[string]bool)
	header := false // are markers still allowed?
	for i, line := range strings.Split(string(text), "\n") {
		fail := func(format string, a ...any) error {
			return fmt.Errorf("%s:%d: "+format, append([]any{name, i + 1}, a...)...)
		}
		marker, isMarker := strings.CutPrefix(line, "-- @")
		word, value, _ := strings.Cut(marker, " ")
		value = strings.TrimSpace(value)
		if isMarker && word == "block" {
			if value == "" || seen[value] {
				return nil, fail("a block needs a name of its own, not %q", value)
			}
			seen[value] = true
			blocks = append(blocks, Block{Name: value, Line: i + 1})
			header = true
		} else if isMarker {
			if !header {
				return nil, fail("%q is not right after a block's first line", line)
			}
			if err := blocks[len(blocks)-1].mark(word, value); err != nil {
				return nil, fail("%w", err)
			}
		} else {
			header = false
			if len(blocks) == 0 {
				if s := strings.TrimSpace(line); s != "" && !strings.HasPrefix(s, "--") {
					return nil, fail("SQL before the first block")
				}
				continue
			}
		}
		blocks[len(blocks)-1].SQL += line + "\n"
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%s: no blocks", name)
	}
	return blocks, nil
}

// mark sets what a marker of the block's header says.
func (b *Block) mark(word, value string) (err error) {
	switch word {
	case "from":
		b.From, err = strconv.Atoi(value)
	case "until":
		b.Until, err = strconv.Atoi(value)
	case "superuser":
		b.Superuser = true
	case "extension":
		b.Extension = value
	case "may-exist":
		b.MayExist = true
	case "stock-fails":
		if b.StockFails = value; value == "" {
			err = errors.New("stock-fails needs a reason")
		}
	default:
		err = fmt.Errorf("unknown marker %q", word)
	}
	return err
}

// wanted reports whether the block is to be loaded into a server of the major version.
func (o *FixtureOptions) wanted(b *Block, major int) bool {
	switch {
	case b.From > major, b.Until != 0 && b.Until < major,
		b.Superuser && !o.Superuser,
		b.StockFails != "" && o.WithoutStockFailures,
		slices.Contains(o.Without, b.Name), b.Extension != "" && slices.Contains(o.Without, b.Extension):
		return false
	case b.Extension != "" && major < 13: // no extension is trusted
		return o.Superuser && (len(o.Only) == 0 || slices.Contains(o.Only, b.Name))
	}
	return len(o.Only) == 0 || slices.Contains(o.Only, b.Name)
}

// fixtureSession is the session that fixtures are written for, whatever the server, the
// database and the role are set to.
const fixtureSession = `
SET client_encoding = 'UTF8'; SET client_min_messages = 'warning'; SET search_path = "$user", public;
SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET bytea_output = 'hex';
SET standard_conforming_strings = on; SET array_nulls = on; SET xmloption = 'content'; SET check_function_bodies = on;
SET statement_timeout = 0; SET lock_timeout = 0; SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed'; SET default_tablespace = ''; SET row_security = on`

// LoadFixture runs the blocks of a fixture that the options want, in order, and
// returns the names of those that it ran. It stops at the first that fails,
// whose name and line are in the error. The session's settings are reset at the end.
func LoadFixture(ctx context.Context, conn *pgconn.PgConn, path string, opts FixtureOptions) (loaded []string, err error) {
	blocks, err := ReadFixture(path)
	if err != nil {
		return nil, err
	}
	for _, names := range [][]string{opts.Only, opts.Without} {
		for _, n := range names {
			if !slices.ContainsFunc(blocks, func(b Block) bool { return b.Name == n || b.Extension == n }) {
				return nil, fmt.Errorf("%s has no block %q", filepath.Base(path), n)
			}
		}
	}
	rows, err := conn.Exec(ctx, `SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.quote_ident(pg_catalog.current_database()),
		pg_catalog.array_to_string(pg_catalog.array_agg(name), ' ') FROM pg_catalog.pg_available_extensions`).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("ask the server for its version: %w", err)
	}
	version, err := strconv.Atoi(string(rows[0].Rows[0][0]))
	if err != nil {
		return nil, err
	}
	database, extensions := string(rows[0].Rows[0][1]), strings.Fields(string(rows[0].Rows[0][2]))
	major := opts.Major
	if major == 0 {
		major = version / 10000
	}
	replace := map[string]string{"@DATABASE@": database}
	for k, v := range opts.Replace {
		replace[k] = strings.ReplaceAll(v, "'", "''")
	}
	if _, err := conn.Exec(ctx, fixtureSession).ReadAll(); err != nil {
		return nil, err
	}
	for i := range blocks {
		b := &blocks[i]
		if !opts.wanted(b, major) {
			continue
		}
		where := fmt.Sprintf("%s: block %s", filepath.Base(path), b.Name)
		if b.Extension != "" && !slices.Contains(extensions, b.Extension) {
			return loaded, fmt.Errorf("%s: the server has no extension %s", where, b.Extension)
		}
		var unknown []string
		sql := placeholder.ReplaceAllStringFunc(b.SQL, func(p string) string {
			v, ok := replace[p]
			if !ok {
				unknown = append(unknown, p)
			}
			return v
		})
		if unknown != nil {
			return loaded, fmt.Errorf("%s: nothing given for %s", where, strings.Join(unknown, ", "))
		}
		if err := b.run(ctx, conn, sql); err != nil {
			return loaded, fmt.Errorf("%s: %w", where, err)
		}
		loaded = append(loaded, b.Name)
	}
	if _, err := conn.Exec(ctx, `RESET ALL`).ReadAll(); err != nil {
		return loaded, err
	}
	return loaded, nil
}

// run runs the block's SQL, with the placeholders in it replaced.
func (b *Block) run(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	const duplicateObject = "42710"
	if b.MayExist && pe.Code == duplicateObject {
		return nil
	}
	if pe.Detail != "" {
		err = fmt.Errorf("%w: %s", err, pe.Detail)
	}
	if pe.Position > 0 {
		before := []rune(sql)[:pe.Position-1]
		line := strings.Count(string(before), "\n")
		return fmt.Errorf("line %d, %.200q: %w", b.Line+line, strings.Split(sql, "\n")[line], err)
	}
	if pe.Where != "" {
		return fmt.Errorf("%w (%s)", err, pe.Where)
	}
	return err
}

// PrivateServer makes, in the folder into, a copy of the installation whose programs
// are in bin, in which the extension is installed whose control file and scripts
// are in the folder files, and returns the copy's folder of programs. It needs no rights on the
// installation and doesn't change it: the server finds its other files relative to
// its own program, which alone is copied; the rest are links.
func PrivateServer(bin, into, files string) (privateBin string, err error) {
	if bin, err = filepath.EvalSymlinks(bin); err != nil {
		return "", err
	}
	if into, err = filepath.EvalSymlinks(into); err != nil {
		return "", err
	}
	root, share, err := shareDir(bin)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(root, bin)
	if err != nil {
		return "", err
	}
	privateBin = filepath.Join(into, rel)
	extensions := filepath.Join(share, "extension")
	links := []struct{ from, to string }{
		{bin, privateBin},
		{filepath.Dir(bin), filepath.Dir(privateBin)}, // lib is beside bin
		{filepath.Join(root, share), filepath.Join(into, share)},
		{files, filepath.Join(into, extensions)}, // these win over the installation's
		{filepath.Join(root, extensions), filepath.Join(into, extensions)},
	}
	// All folders come first: a link to a folder in the place of one would lead into the installation.
	for _, l := range links {
		if err := os.MkdirAll(l.to, 0o755); err != nil {
			return "", err
		}
	}
	for _, l := range links {
		if err := linkAll(l.from, l.to); err != nil {
			return "", err
		}
	}
	const program = "postgres"
	code, err := os.ReadFile(filepath.Join(bin, program))
	if err != nil {
		return "", err
	}
	target := filepath.Join(privateBin, program)
	return privateBin, errors.Join(os.Remove(target), os.WriteFile(target, code, 0o755))
}

// shareDir finds the folder of an installation that holds extension/: it is root/share, and
// root is above bin. Debian has bin in /usr/lib/postgresql/15/bin and share in
// /usr/share/postgresql/15.
func shareDir(bin string) (root, share string, err error) {
	version := filepath.Base(filepath.Dir(bin))
	for root = filepath.Dir(bin); root != filepath.Dir(root); root = filepath.Dir(root) {
		for _, share := range []string{"share/postgresql/" + version, "share/postgresql", "share"} {
			if st, err := os.Stat(filepath.Join(root, share, "extension")); err == nil && st.IsDir() {
				return root, share, nil
			}
		}
	}
	return "", "", fmt.Errorf("no extensions beside %s", bin)
}

// linkAll links what is in the folder from into the folder to, but for what is there already.
func linkAll(from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
