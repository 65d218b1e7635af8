package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Difference compares two databases by means that share nothing with pgmove's own: the
// text that pg_dump prints of both schemas, the rows of every table as the server
// itself hashes them, sequences, large objects. It returns what differs, "" where
// nothing does. ignore are patterns of lines of the schema, and of names of objects, that may
// differ.
func Difference(ctx context.Context, a *Postgres, adb string, b *Postgres, bdb string, ignore ...string) (string, error) {
	var out []string
	if a.Major() == b.Major() {
		sa, err := SchemaText(ctx, a, adb)
		if err != nil {
			return "", err
		}
		sb, err := SchemaText(ctx, b, bdb)
		if err != nil {
			return "", err
		}
		out = append(out, textDifference(sa, sb, ignore)...)
	}
	fa, err := a.fingerprints(ctx, adb)
	if err != nil {
		return "", err
	}
	fb, err := b.fingerprints(ctx, bdb)
	if err != nil {
		return "", err
	}
	ignored := func(name string) bool {
		return slices.ContainsFunc(ignore, func(p string) bool { return regexp.MustCompile(p).MatchString(name) })
	}
	for name, v := range fa {
		if ignored(name) {
			continue
		}
		if fb[name] != v {
			out = append(out, fmt.Sprintf("%s: source %s, target %s", name, v, fb[name]))
		}
	}
	for name, v := range fb {
		if _, ok := fa[name]; !ok {
			out = append(out, fmt.Sprintf("%s: only on the target: %s", name, v))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n"), nil
}

var noise = regexp.MustCompile(`^(--.*|\\(un)?restrict .*|)$`)

// SchemaText is what pg_dump prints of a database's schema, with the database's own properties,
// without comments, the random keys of \restrict, and the database's name.
func SchemaText(ctx context.Context, p *Postgres, db string) ([]string, error) {
	dir, ok := ClientBin(p.Major())
	if !ok {
		major, d := NewestClient()
		if major < p.Major() {
			return nil, fmt.Errorf("no pg_dump for PostgreSQL %d is installed", p.Major())
		}
		dir = d
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "pg_dump"), "--schema-only", "--create", "--exclude-schema=pgmove", "--dbname="+p.URL(db))
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	text, err := printed(cmd)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if noise.MatchString(l) || strings.HasPrefix(l, `\connect`) {
			continue
		}
		lines = append(lines, strings.ReplaceAll(strings.ReplaceAll(l, `"`+db+`"`, "DATABASE"), db, "DATABASE"))
	}
	return lines, nil
}

// printed runs a program and returns what it prints. Its error has what the program said.
func printed(cmd *exec.Cmd) (string, error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, stderr.String())
	}
	return string(text), nil
}

// textDifference compares as multisets of lines: tables that inherit may have their
// columns in another order.
func textDifference(a, b, ignore []string) []string {
	count := map[string]int{}
	for _, l := range a {
		count[strings.TrimSuffix(l, ",")]++
	}
	for _, l := range b {
		count[strings.TrimSuffix(l, ",")]--
	}
	var out []string
	for l, n := range count {
		if n == 0 || slices.ContainsFunc(ignore, func(p string) bool { return regexp.MustCompile(p).MatchString(l) }) {
			continue
		}
		side := "source"
		if n < 0 {
			side = "target"
		}
		out = append(out, fmt.Sprintf("schema, only on the %s: %s", side, l))
	}
	return out
}

// fingerprints hashes rows, sequences and large objects on the server. Each table's columns go by name:
// an heir's may stand in another order.
func (p *Postgres) fingerprints(ctx context.Context, db string) (map[string]string, error) {
	out := map[string]string{}
	// Nothing of the database's may stand before the server's own names.
	rows, err := p.Query(ctx, db, `SET search_path = pg_catalog; SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispopulated,
		coalesce((SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
			AND NOT a.attisdropped), '')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm', 'S', 'p') AND
		CASE WHEN c.relispartition THEN c.relkind = 'r' AND EXISTS (SELECT FROM pg_partition_tree(pg_partition_root(c.oid)) t JOIN pg_class k ON k.oid = t.relid WHERE k.relkind = 'f')
		WHEN c.relkind = 'p' THEN NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class k ON k.oid = t.relid WHERE k.relkind = 'f') ELSE true END AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgmove')`)
	if err != nil {
		return nil, err
	}
	var seqs, tables []string
	for _, r := range rows {
		name := quote(r[1]) + "." + quote(r[2])
		label := literal(map[string]string{"r": "table", "p": "table", "m": "matview", "S": "sequence"}[r[3]] + " " + name)
		switch {
		case r[3] == "S":
			seqs = append(seqs, fmt.Sprintf("SELECT %s, last_value::text || ' ' || is_called::text FROM %s", label, name))
		case r[3] == "m" && r[4] != "t":
			out["matview "+name] = "not populated"
		default:
			cols, only := r[5], "ONLY "
			if r[3] == "p" {
				// At the root: which partition a row is in may be another server's choice.
				only = ""
			}
			if cols == "" {
				tables = append(tables, fmt.Sprintf("SELECT %s, count(*)::text FROM %s%s", label, only, name))
				continue
			}
			// Hashed row by row and then in hash order, so that no value is too large to add up.
			// 1,600 columns are too many for ROW(): in parts of 400.
			var parts []string
			list := splitIdents(cols)
			for part := range slices.Chunk(list, 400) {
				parts = append(parts, "md5(ROW("+strings.Join(part, ", ")+")::text)")
			}
			tables = append(tables, fmt.Sprintf("SELECT %s, count(*)::text || ' ' || coalesce(md5(string_agg(h, '' ORDER BY h)), '') FROM (SELECT %s AS h FROM %s%s) q",
				label, strings.Join(parts, " || "), only, name))
		}
	}
	queries := append(seqs, tables...)
	queries = append(queries, `SELECT 'large object ' || oid, md5(lo_get(oid)) || ' ' || pg_get_userbyid(lomowner) || ' ' || coalesce(lomacl::text, '') FROM pg_largeobject_metadata`)
	const pins = "SET row_security = off; SET datestyle = ISO; SET timezone = 'UTC'; SET extra_float_digits = 3; SET statement_timeout = 0; SET search_path = ''; SET bytea_output = hex; SET intervalstyle = postgres;"
	for batch := range slices.Chunk(queries, 100) {
		got, err := p.Query(ctx, db, pins+strings.Join(batch, " UNION ALL "))
		if err != nil {
			return nil, err
		}
		for _, r := range got {
			out[r[0]] = r[1]
		}
	}
	return out, nil
}

// splitIdents takes a list of quoted names apart.
func splitIdents(s string) []string {
	var out []string
	start, in := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			in = !in
		case s[i] == ',' && !in:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(s[start:]))
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// MustBeEqual fails the test where Difference finds anything.
func MustBeEqual(tb interface {
	Helper()
	Context() context.Context
	Fatalf(string, ...any)
	Errorf(string, ...any)
}, a *Postgres, adb string, b *Postgres, bdb string, ignore ...string) {
	tb.Helper()
	d, err := Difference(tb.Context(), a, adb, b, bdb, ignore...)
	if err != nil {
		tb.Fatalf("the oracle: %v", err)
	}
	if d != "" {
		tb.Errorf("source and target differ:\n%s", d)
	}
}
