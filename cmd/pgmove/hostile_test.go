package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// shadows are built-in functions and operators that pgmove calls, as their impostors in schema public are declared.
var shadows = []struct{ name, args, returns string }{
	{"current_setting", "text", "text"}, {"set_config", "text, text, bool", "text"}, {"getdatabaseencoding", "", "name"},
	{"pg_export_snapshot", "", "text"}, {"has_table_privilege", "oid, text", "bool"}, {"has_sequence_privilege", "oid, text", "bool"},
	{"has_schema_privilege", "oid, text", "bool"}, {"obj_description", "oid, name", "text"}, {"pg_has_role", "oid, text", "bool"},
	{"pg_relation_size", "regclass", "bigint"}, {"pg_table_size", "regclass", "bigint"}, {"hashtext", "text", "int"},
	{"pg_try_advisory_lock", "int, int", "bool"}, {"to_regclass", "text", "regclass"}, {"txid_current_snapshot", "", "txid_snapshot"},
	{"setval", "regclass, bigint, bool", "bigint"}, {"lo_create", "oid", "oid"}, {"lo_put", "oid, bigint, bytea", "void"},
	{"lo_get", "oid, bigint, int", "bytea"}, {"lo_open", "oid, int", "int"}, {"lo_close", "int", "int"}, {"lo_lseek64", "int, bigint, int", "bigint"},
	{"generate_series", "bigint, bigint, bigint", "bigint"}, {"now", "", "timestamptz"}, {"clock_timestamp", "", "timestamptz"},
	{"current_database", "", "name"}, {"unnest", "oid[], text[]", "record"}, {"aclexplode", "aclitem[]", "record"}, {"pg_is_in_recovery", "", "bool"},
	{"pg_postmaster_start_time", "", "timestamptz"}, {"greatest", "bigint, bigint", "bigint"}, {"coalesce", "text, text", "text"}, {"count", "bigint", "bigint"},
}

var shadowOperators = []struct{ name, left, right, returns string }{
	{"=", "name", "text", "bool"}, {"=", "text", "text", "bool"}, {"=", "oid", "oid", "bool"}, {"=", "bigint", "int", "bool"}, {"=", "bigint", "bigint", "bool"},
	{"=", `"char"`, `"char"`, "bool"}, {"<>", "name", "text", "bool"}, {"<>", `"char"`, `"char"`, "bool"}, {"!~", "name", "text", "bool"}, {"/", "int", "bigint", "bigint"},
	{"/", "bigint", "int", "bigint"}, {"*", "bigint", "int", "bigint"}, {"-", "bigint", "int", "bigint"}, {"+", "bigint", "int", "bigint"}, {"||", "text", "text", "text"},
	{"<", "tid", "tid", "bool"}, {">=", "tid", "tid", "bool"}, {">=", "oid", "int", "bool"}, {"<=", "oid", "oid", "bool"}, {"=", "int", "int", "bool"},
}

// trap is a database in which all that says IMPOSTOR must never run: impostors of built-ins, first in the search_path of
// database and role, and what reacts to changes of the tables. What says ENTRY runs on the target as it would
// under pg_restore.
func trap(db, mark string) string {
	var q strings.Builder
	says := func(name, args, returns, word string) {
		ret := returns
		body := fmt.Sprintf("BEGIN RAISE LOG '%s %%', %s; RAISE EXCEPTION 'the trap'; END", word, "'"+name+"'")
		fmt.Fprintf(&q, "CREATE FUNCTION public.%s(%s) RETURNS %s LANGUAGE plpgsql AS $f$%s$f$;\n", name, args, ret, body)
	}
	for _, f := range shadows {
		name := f.name
		if name == "coalesce" || name == "greatest" {
			name = `"` + name + `"` // the grammar's own, no functions
		}
		says(name, f.args, f.returns, "IMPOSTOR")
	}
	for i, o := range shadowOperators {
		name := fmt.Sprintf("op%d", i)
		says(name, o.left+", "+o.right, o.returns, "IMPOSTOR")
		fmt.Fprintf(&q, "CREATE OPERATOR public.%s (PROCEDURE = public.%s, LEFTARG = %s, RIGHTARG = %s);\n", o.name, name, o.left, o.right)
	}
	for _, typ := range []string{"text", "oid", "tid", "bytea", "regclass"} {
		fmt.Fprintf(&q, "CREATE TYPE public.%s AS (impostor int);\n", typ)
	}
	q.WriteString(`
CREATE TYPE public.cast_from AS (v int);
CREATE FUNCTION public.as_text(public.cast_from) RETURNS pg_catalog.text LANGUAGE plpgsql AS $f$BEGIN RAISE LOG 'IMPOSTOR cast'; RETURN 'x'; END$f$;
CREATE CAST (public.cast_from AS pg_catalog.text) WITH FUNCTION public.as_text AS IMPLICIT;
CREATE TABLE public.of_cast (c public.cast_from);
INSERT INTO public.of_cast VALUES (ROW(1));
CREATE TABLE public.target (a pg_catalog.int4 PRIMARY KEY, b pg_catalog.text);
INSERT INTO public.target SELECT g, 'b' FROM pg_catalog.generate_series(1::pg_catalog.int4, 3000) g;
CREATE TABLE public.elsewhere (a pg_catalog.int4);
CREATE FUNCTION public.on_row() RETURNS trigger LANGUAGE plpgsql AS $f$BEGIN RAISE LOG 'IMPOSTOR trigger'; INSERT INTO public.elsewhere VALUES (1); RETURN NEW; END$f$;
CREATE TRIGGER on_row BEFORE INSERT OR UPDATE OR DELETE ON public.target FOR EACH ROW EXECUTE FUNCTION public.on_row();
CREATE TRIGGER on_truncate BEFORE TRUNCATE ON public.target EXECUTE FUNCTION public.on_row();
ALTER TABLE public.target ENABLE ALWAYS TRIGGER on_row;
CREATE RULE on_insert AS ON INSERT TO public.target DO ALSO INSERT INTO public.elsewhere VALUES (2);
CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $f$BEGIN RAISE LOG 'IMPOSTOR event trigger'; END$f$;
CREATE EVENT TRIGGER on_start ON ddl_command_start EXECUTE FUNCTION public.on_ddl();
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION public.on_ddl();
ALTER EVENT TRIGGER on_start DISABLE;
ALTER EVENT TRIGGER on_drop DISABLE;
-- These run where the restored database's own definitions say so. This one leaves the session in disorder.
CREATE FUNCTION public.poison(pg_catalog.int4) RETURNS bool LANGUAGE plpgsql AS $f$BEGIN
	RAISE LOG 'ENTRY check';
	PERFORM pg_catalog.set_config('search_path', 'public, pg_catalog', false);
	RETURN true; END$f$;
CREATE TABLE public.poisoned (a pg_catalog.int4 CHECK (public.poison(a)));
INSERT INTO public.poisoned VALUES (1), (2);
SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION public.plus(pg_catalog.int4) RETURNS pg_catalog.int4 LANGUAGE plpgsql IMMUTABLE AS $f$BEGIN RAISE LOG 'ENTRY index'; RETURN $1; END$f$;
CREATE INDEX ON public.target (public.plus(a));
CREATE TABLE public.generated (a pg_catalog.int4, b pg_catalog.int4 GENERATED ALWAYS AS (public.plus(a)) STORED);
INSERT INTO public.generated VALUES (1);
CREATE SEQUENCE public.numbers;
SELECT pg_catalog.lo_from_bytea(4711, 'x');
CREATE TABLE public."\! touch @MARK@
\copy t from program 'touch @MARK@'; --" ("\! touch @MARK@
" pg_catalog.int4, """; DROP SCHEMA public CASCADE; --" pg_catalog.text);
INSERT INTO public."\! touch @MARK@
\copy t from program 'touch @MARK@'; --" VALUES (1, E'\\.\n\\! touch @MARK@\n');
COMMENT ON TABLE public.target IS E'\n\\! touch @MARK@\n';
CREATE SCHEMA "x'); SELECT pg_catalog.pg_terminate_backend(1); --";
CREATE SEQUENCE "x'); SELECT pg_catalog.pg_terminate_backend(1); --"."s'); DROP SCHEMA public CASCADE; --";
CREATE FUNCTION "x'); SELECT pg_catalog.pg_terminate_backend(1); --"."$$ \! touch @MARK@"() RETURNS pg_catalog.int4 LANGUAGE sql AS 'SELECT 1';
ALTER DATABASE ` + db + ` SET search_path = public, pg_catalog;
`)
	return "SET search_path = ''; SET check_function_bodies = off;\n" + strings.ReplaceAll(strings.ReplaceAll(q.String(), "@MARK@", mark), "RETURNS bool", "RETURNS pg_catalog.bool")
}

// TestHostileDatabase moves, validates and resumes a database that is made to be run: no impostor is ever called, on
// either side.
func TestHostileDatabase(t *testing.T) {
	t.Parallel()
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"autovacuum": "off"}})
	src := database(t, p)
	const mark = "HM" // short: names have 63 bytes
	t.Cleanup(func() { _ = os.Remove(mark) })
	testbed.SQL(t, p, "postgres", "CREATE ROLE mover LOGIN SUPERUSER PASSWORD 'mover'; ALTER ROLE mover SET search_path = public, pg_catalog")
	testbed.SQL(t, p, src, trap(src, mark))
	testbed.SQL(t, p, src, "SET search_path = ''; ALTER EVENT TRIGGER on_start ENABLE ALWAYS; ALTER EVENT TRIGGER on_drop ENABLE ALWAYS;")
	u := func(db string) string { return p.URLAs("mover", "mover", db) }
	quiet := func(what string, from int) {
		t.Helper()
		for _, l := range strings.Split(p.Log()[from:], "\n") {
			if strings.Contains(l, "IMPOSTOR") && strings.Contains(l, "LOG:") {
				t.Errorf("%s: %s", what, l)
			}
		}
		if _, err := os.Stat(mark); err == nil {
			t.Fatalf("%s: a command in a name was run", what)
		}
	}
	logged := len(p.Log())
	if _, err := p.Query(t.Context(), src, "SET search_path = public, pg_catalog; SELECT 'a'::name = 'b'::pg_catalog.text"); err == nil || !strings.Contains(p.Log()[logged:], "IMPOSTOR") {
		t.Fatalf("the trap does not work: %v", err)
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"direct", []string{"--jobs", "1"}},
		{"in chunks", []string{"--jobs", "3", "--split-size", "16kB"}},
		{"through a folder", []string{"--jobs", "1", "--via", t.TempDir() + "/a", "--split-size", "16kB"}},
	} {
		logged, dst := len(p.Log()), database(t, p)
		inStages(t, p, dst)
		out := mustExit(t, 0, append([]string{"run", "--source", u(src), "--target", u(dst)}, c.args...)...)
		_ = out
		mustExit(t, 0, "validate", "--source", u(src), "--target", u(dst))
		mustExit(t, 0, "validate", "--source", u(src), "--target", u(dst), "--validate", "count")
		quiet(c.name, logged)
		if log := p.Log()[logged:]; !strings.Contains(log, "ENTRY check") || !strings.Contains(log, "ENTRY index") {
			t.Errorf("%s: what the entries themselves call was not", c.name)
		}
		if n, err := p.Value(t.Context(), dst, "SET search_path = ''; SELECT pg_catalog.count(*) FROM public.elsewhere"); err != nil || n != "0" {
			t.Errorf("%s: a trigger or a rule wrote %s rows (%v)", c.name, n, err)
		}
	}
	// Killed and resumed: the ledger's statements meet the restored impostors.
	for _, point := range []string{"ledger.chunk:after:2", "ledger.exec:after:3", "ledger.finish:before:1"} {
		logged, dst := len(p.Log()), database(t, p)
		args := []string{"run", "--source", u(src), "--target", u(dst), "--jobs", "1", "--split-size", "16kB"}
		killed(t, point, args...)
		mustExit(t, 0, append(args, "--resume")...)
		quiet("resumed after "+point, logged)
	}
	dst := database(t, p)
	id, end := holder(t, u(src))
	logged = len(p.Log())
	mustExit(t, 0, "run", "--source", u(src), "--target", u(dst), "--snapshot", id)
	end()
	quiet("under a held snapshot", logged)
}
