package pgarchive

import (
	"reflect"
	"slices"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

func TestParseCopy(t *testing.T) {
	for sql, want := range map[string]*copyInto{
		"COPY public.t (a, _b1) FROM stdin;\n":                 {namespace: "public", name: "t", columns: []stream.Text{"a", "_b1"}},
		"COPY public.t  FROM stdin;\n":                         {namespace: "public", name: "t"},
		`COPY "a.b"."c""d" ("e, f", "g) FROM") FROM stdin;`:    {namespace: "a.b", name: `c"d`, columns: []stream.Text{"e, f", "g) FROM"}},
		"COPY p.\"\xff\n\" FROM stdin WITH (FORMAT binary);\n": {namespace: "p", name: "\xff\n", binary: true},
		"COPY p.t () FROM stdin;\n":                            nil,
		"COPY p.t (a,b) FROM stdin;\n":                         nil,
		"COPY p.t (a)":                                         nil,
		"COPY p.\"\" FROM stdin;\n":                            nil,
		"COPY p.1t FROM stdin;\n":                              nil,
		"COPY p.t FROM stdin; SELECT 1;\n":                     nil,
		"copy p.t from stdin;\n":                               nil,
		"COPY p.T FROM stdin;\n":                               nil,
		"COPY ":                                                nil,
	} {
		got, err := parseCopy(sql)
		if want == nil {
			if err == nil {
				t.Errorf("%q: taken as %+v", sql, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", sql, err)
			continue
		}
		got.head = ""
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", sql, got)
		}
	}
}

func TestParseSetval(t *testing.T) {
	for sql, want := range map[string]bool{
		`SELECT pg_catalog.setval('public."it''s \"', -5, true);` + "\n":    true,
		`SELECT pg_catalog.setval(E'public."it''s \\"', -5, true);` + "\n":  true,
		`SELECT pg_catalog.setval('public."it''s \"', -5, maybe);` + "\n":   false,
		`SELECT pg_catalog.setval('public."it''s \"', -5, true); x` + "\n":  false,
		`SELECT pg_catalog.setval('public."it''s \"', 1e3, true);` + "\n":   false,
		`SELECT pg_catalog.setval('public."it''s \"' -5, true);` + "\n":     false,
		`SELECT pg_catalog.setval('public.other', -5, true);` + "\n":        false,
		`SELECT pg_catalog.setval('public."it''s \", -5, true);` + "\n":     false,
		`SELECT pg_catalog.setval(E'public."it''s \q\"', -5, true);` + "\n": false,
		`SELECT 1;`: false,
	} {
		last, called, ok := parseSetval(sql, "public", `it's \`)
		if ok != want || ok && (last != -5 || !called) {
			t.Errorf("%q: %d, %t, %t", sql, last, called, ok)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]int{"15.20": 150020, "15.20 (Debian 15.20-0+deb12u1)": 150020, "18beta1": 180000, "19devel": 190000,
		"12.0": 120000, "9.6.24": 90624, "15.3.0": 150003, "": 0, "x": 0, ".5": 0, "15.": 0, "1.2.3.4": 0, "99999.1": 0, "15.1\x1b": 0, "0.1": 0} {
		text, num, err := parseVersion(s)
		if num != want || (err == nil) != (want != 0) || err == nil && text == "" {
			t.Errorf("%q: %q, %d, %v", s, text, num, err)
		}
	}
}

func TestGrantees(t *testing.T) {
	for sql, want := range map[string][]stream.Text{
		"REVOKE ALL ON TABLE public.t FROM PUBLIC;\nGRANT SELECT ON TABLE public.t TO a;\nGRANT ALL ON SCHEMA \"TO b\" TO \"c\"\"d\" WITH GRANT OPTION;\n": {"a", `c"d`},
		"SET SESSION AUTHORIZATION boss;\nGRANT EXECUTE ON FUNCTION public.f(x interval) TO PUBLIC;\nRESET SESSION AUTHORIZATION;\n":                       {"boss"},
		"CREATE POLICY p ON public.t AS RESTRICTIVE FOR UPDATE TO r1, \"R2\" USING ((x = ' TO y'::text)) WITH CHECK (\"TO\" z);\n":                         {"r1", "R2"},
		"CREATE POLICY p ON public.t FOR INSERT WITH CHECK (true);\n":                                                                                      nil,
		"GRANT ALL ON TABLE \"open TO x;": nil,
	} {
		if got := grantees(sql); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", sql, got, want)
		}
	}
}
