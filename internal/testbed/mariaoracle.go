package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// TrailingBlanks are, among what MariaDifference is to ignore, blanks at the ends of the schema's lines: mydumper puts them there.
const TrailingBlanks = " +$"

// Definers are, among what MariaDifference is to ignore, the accounts as which programs run.
const Definers = "DEFINER=[`\"][^`\"]*[`\"]@[`\"][^`\"]*[`\"]"

// MariaDifference compares two databases by means that share nothing with pgmove's own: the text that
// mariadb-dump prints of both schemas, and the rows of every table as the server itself
// hashes them. It returns what differs, "" where nothing does. ignore are patterns of lines of
// the schema and of names of tables that may differ.
func MariaDifference(ctx context.Context, a *MariaDB, adb string, b *MariaDB, bdb string, ignore ...string) (string, error) {
	sa, err := MariaSchemaText(ctx, a, adb)
	if err != nil {
		return "", err
	}
	sb, err := MariaSchemaText(ctx, b, bdb)
	if err != nil {
		return "", err
	}
	for _, p := range []string{TrailingBlanks, Definers} {
		if !slices.Contains(ignore, p) {
			continue
		}
		// Of the lines, not the lines.
		ignore = slices.DeleteFunc(slices.Clone(ignore), func(s string) bool { return s == p })
		within := regexp.MustCompile(p)
		for _, lines := range [][]string{sa, sb} {
			for i := range lines {
				lines[i] = within.ReplaceAllString(lines[i], "")
			}
		}
	}
	out := textDifference(sa, sb, ignore)
	fa, err := a.fingerprints(ctx, adb)
	if err != nil {
		return "", err
	}
	fb, err := b.fingerprints(ctx, bdb)
	if err != nil {
		return "", err
	}
	for name, v := range fa {
		ignored := slices.ContainsFunc(ignore, func(p string) bool { return regexp.MustCompile(p).MatchString(name) })
		if fb[name] != v && !ignored {
			out = append(out, fmt.Sprintf("table %s: source %s, target %s", name, v, fb[name]))
		}
	}
	for name, v := range fb {
		if _, ok := fa[name]; !ok {
			out = append(out, fmt.Sprintf("table %s: only on the target: %s", name, v))
		}
	}
	return strings.Join(out, "\n"), nil
}

// mariaNoise are lines that say when, by what and on what a dump was made.
var mariaNoise = regexp.MustCompile(`^(--.*|/\*M!999999.*|)$`)

// MariaSchemaText is what mariadb-dump prints of a database without its rows: tables, views, triggers,
// routines, events and sequences.
func MariaSchemaText(ctx context.Context, m *MariaDB, db string) ([]string, error) {
	program, ok := MariaDBProgram("mariadb-dump")
	if !ok {
		return nil, fmt.Errorf("no mariadb-dump is installed: %s", makeTools)
	}
	cmd := exec.CommandContext(ctx, program, "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port="+strconv.Itoa(m.port),
		"--user="+mariaAdmin, "--no-data", "--routines", "--events", "--triggers", "--skip-comments", "--skip-dump-date", "--skip-lock-tables", db)
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+m.password, "LC_ALL=C")
	text, err := printed(cmd)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if !mariaNoise.MatchString(l) {
			lines = append(lines, l)
		}
	}
	return lines, nil
}

// fingerprints are, by table, the number of rows and the sum of their hashes.
func (m *MariaDB) fingerprints(ctx context.Context, db string) (map[string]string, error) {
	// What a value is hashed as shows all its bits: own bytes of text, numbers of enums, doubles of floats.
	rows, err := m.Query(ctx, db, `SET group_concat_max_len = 1073741823, character_set_results = utf8mb4;
		SELECT t.TABLE_NAME, t.TABLE_TYPE, GROUP_CONCAT(CONCAT('IF(', q, ' IS NULL, "N", CONCAT(LENGTH(', v, '), ":", ', v, '))') ORDER BY ORDINAL_POSITION SEPARATOR ', '), MAX(COALESCE(GENERATION_EXPRESSION, '') = 'ROW START')
		FROM information_schema.TABLES t JOIN (SELECT c.*, CONCAT('`+"`', REPLACE(COLUMN_NAME, '`', '``'), '`'"+`) AS q,
			CASE WHEN DATA_TYPE IN ('float', 'double') THEN CONCAT('CAST(`+"`', REPLACE(COLUMN_NAME, '`', '``'), '`'"+`, ' * 1e0 AS CHAR)')
			WHEN DATA_TYPE IN ('enum', 'set', 'bit') THEN CONCAT('CAST(`+"`', REPLACE(COLUMN_NAME, '`', '``'), '`'"+`, ' + 0 AS CHAR)')
			ELSE CONCAT('HEX(`+"`', REPLACE(COLUMN_NAME, '`', '``'), '`'"+`, ')') END AS v
			FROM information_schema.COLUMNS c WHERE TABLE_SCHEMA = DATABASE()) c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
		WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') GROUP BY 1, 2 ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		name, values, all := r[0], r[2], ""
		if r[1] == "SYSTEM VERSIONED" {
			all = " FOR SYSTEM_TIME ALL"
			if r[3] == "0" { // the period's columns are the server's own, and not listed
				values += ", ROW_START, ROW_END"
			}
		}
		// A sum and not an exclusive or: two equal rows must not cancel.
		got, err := m.Query(ctx, db, "SET sql_mode = ''; SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(SHA2(CONCAT("+values+
			"), 256), 15), 16, 10) AS DECIMAL(40))), 0) FROM "+backtick(name)+all)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", name, err)
		}
		out[name] = got[0][0] + " " + got[0][1]
	}
	return out, nil
}

// backtick quotes an identifier for MariaDB.
func backtick(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
