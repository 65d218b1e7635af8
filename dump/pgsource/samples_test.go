package pgsource

import "strings"

// sample are values of one built-in type: literals, and queries of one column that make more.
type sample struct {
	since  int // the first major version that has the type
	values []string
	query  string
	// newer are values that only servers from a version on know.
	newer map[int][]string
}

// hash is a pseudorandom 64-bit integer that every version computes alike, for row g.
const hash = `('x' || substr(md5(g::text), 1, 16))::bit(64)::bigint`

// double is a pseudorandom float8, of any magnitude.
const double = `(CASE g % 4 WHEN 0 THEN ` + hash + `::float8 WHEN 1 THEN 1 / ` + hash + `::float8 WHEN 2 THEN ` + hash + ` % 1000 ELSE ` + hash + `::float8 ^ 9 END)`

func numbered(query string) string { return "SELECT " + query + " FROM generate_series(1, 500) g" }

// samples have an entry for each of binaryTypes.
var samples = map[string]sample{
	"bool":    {values: []string{"true", "false"}},
	`"char"`:  {values: []string{"", "a", " ", "~"}, query: `SELECT g::"char" FROM generate_series(-128, 127) g`},
	"name":    {values: []string{"", "x", "Ünï \"quoted\"\n\t\\N", strings.Repeat("n", 63)}},
	"int2":    {values: []string{"-32768", "-1", "0", "32767"}},
	"int4":    {values: []string{"-2147483648", "-1", "0", "2147483647"}, query: numbered(hash + " % 2147483648")},
	"int8":    {values: []string{"-9223372036854775808", "-1", "0", "9223372036854775807"}, query: numbered(hash)},
	"oid":     {values: []string{"0", "1", "2147483648", "4294967295"}},
	"xid":     {values: []string{"0", "3", "4294967295"}},
	"xid8":    {since: 13, values: []string{"0", "3", "18446744073709551615"}},
	"pg_lsn":  {values: []string{"0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"}},
	"uuid":    {values: []string{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}, query: numbered("md5(g::text)::uuid")},
	"float4":  {values: []string{"NaN", "Infinity", "-Infinity", "-0", "0", "1e-45", "1.17549435e-38", "3.4028235e38", "0.1"}, query: numbered(hash + "::float4 / 7919")},
	"float8":  {values: []string{"NaN", "Infinity", "-Infinity", "-0", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "0.1"}, query: numbered(double)},
	"numeric": {values: append(numerics, longNumerics()...), query: numbered(`(` + hash + `::numeric * ` + hash + `) / (10::numeric ^ (g % 40))`), newer: map[int][]string{14: {"Infinity", "-Infinity"}}},
	"bytea":   {values: []string{"", `\x00`, `\x5c4e`, `\x` + strings.Repeat("00ff", 40000)}, query: "SELECT decode(repeat(md5(g::text), g * 900), 'hex') FROM generate_series(1, 9) g"},
	"text":    {values: texts, query: wide},
	"varchar": {values: texts, query: wide},
	"bpchar":  {values: append(texts, "a  ", "   ")},
	"json":    {values: jsons, query: `SELECT json_build_object('k', g, 'v', md5(g::text), 'n', ` + hash + `, 'l', json_build_array(g, NULL, 1.50)) FROM generate_series(1, 200) g`},
	"jsonb": {values: jsons, query: `SELECT jsonb_object_agg(md5((g + h)::text), jsonb_build_array(h, NULL, true, ` + hash + ` / 3.0, repeat('x', g * 100)))
		FROM generate_series(1, 40) g, generate_series(1, 9) h GROUP BY g`},
	"date":        {values: []string{"-infinity", "infinity", "4714-11-24 BC", "0001-01-01 BC", "2000-01-01", "5874897-12-31"}},
	"time":        {values: []string{"00:00", "23:59:59.999999", "24:00:00"}},
	"timetz":      {values: []string{"00:00+00", "24:00:00-15:59:59", "12:34:56.789012+15:59:59", "23:59:59.999999+05:45"}},
	"timestamp":   {values: moments, query: numbered(`timestamp '2000-01-01' + (` + hash + ` % 100000000000) * interval '1 ms' / 7`)},
	"timestamptz": {values: moments, query: numbered(`timestamptz '2000-01-01' + (` + hash + ` % 100000000000) * interval '1 ms' / 7`)},
	"bit":         {values: []string{"", "0", "1", "101", "11111111", "111111111", strings.Repeat("10", 4001)}},
	"varbit":      {values: []string{"", "0", "1", "101", "11111111", "111111111", strings.Repeat("10", 4001)}, query: `SELECT ('x' || md5(g::text))::bit(128)::bit varying(100) << g FROM generate_series(1, 100) g`},
	"inet":        {values: []string{"0.0.0.0/0", "192.168.1.77/24", "255.255.255.255", "::", "::1/0", "2001:db8::ff/33", "::ffff:1.2.3.4/128"}},
	"cidr":        {values: []string{"0.0.0.0/0", "192.168.1.0/24", "255.255.255.255/32", "::/0", "2001:db8::/32", "::ffff:1.2.3.4/128"}},
	"macaddr":     {values: []string{"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "08:00:2b:01:02:03"}},
	"macaddr8":    {values: []string{"00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff", "08:00:2b:ff:fe:01:02:03"}},
	"point":       {values: []string{"(-0,0)", "(NaN,Infinity)", "(1e-300,-1.7976931348623157e308)"}, query: numbered("point(" + double + ", g)")},
	"line":        {values: []string{"{1,-1,0}", "{NaN,1,-Infinity}", "{0,-1,1e300}"}, query: "SELECT line(point(0, g), point(g, " + double + ")) FROM generate_series(1, 500) g WHERE abs(" + double + ") BETWEEN 1 AND 1e10"},
	"lseg":        {values: []string{"[(0,-0),(1,1)]", "[(NaN,1),(Infinity,-Infinity)]"}},
	"box":         {values: []string{"(0,0),(1,1)", "(1,1),(-5,8)", "(Infinity,-1),(-Infinity,2)", "(NaN,1),(2,NaN)"}, query: numbered("box(point(" + double + ", g), point(g, " + double + "))")},
	"path":        {values: []string{"((0,0))", "[(0,0),(1,2)]", "((0,0),(1,2),(-0,NaN))"}, query: "SELECT path(polygon(g, circle(point(g, 1), g))) FROM generate_series(2, 300, 9) g"},
	"polygon":     {values: []string{"((0,0))", "((0,0),(1,2),(-0,3))"}, query: "SELECT polygon(g, circle(point(g, 1), g)) FROM generate_series(2, 300, 9) g"},
	"circle":      {values: []string{"<(0,-0),0>", "<(1,2),Infinity>", "<(NaN,1),3>"}},
	"tsvector": {values: []string{"", "a", "a:1A,2B,16383D b c:3", `'it''s' '\\':1 'ü':2,5 'zz z'`}, query: `SELECT to_tsvector('simple', string_agg(substr(md5((g * h)::text), 1, 1 + h % 4), ' '))
		FROM generate_series(1, 31, 10) g, generate_series(1, 700 * g) h GROUP BY g
		UNION ALL SELECT setweight(to_tsvector('simple', repeat('a b ü c ', g)), 'B') || to_tsvector('simple', repeat('b d ', 9000)) FROM generate_series(1, 3000, 1400) g`},
	"int4range":      {values: []string{"empty", "(,)", "[1,1]", "(1,5)", "[,2147483646]", "[-2147483648,)"}},
	"int8range":      {values: []string{"empty", "(,)", "[1,1]", "(1,5)", "[-9223372036854775808,9223372036854775807)"}},
	"numrange":       {values: []string{"empty", "(,)", "[1.10,1.10]", "(1.5,NaN]", "[,-1e100)", "(0.000,1]"}, newer: map[int][]string{14: {"[-Infinity,Infinity)"}}},
	"tsrange":        {values: []string{"empty", "(,)", "[-infinity,infinity]", `["4714-11-24 00:00:00 BC",2000-01-01)`}},
	"tstzrange":      {values: []string{"empty", "(,)", "[-infinity,infinity)", `("4714-11-24 00:00:00+00 BC",]`}},
	"daterange":      {values: []string{"empty", "(,)", "[-infinity,infinity)", "(4714-11-24 BC,5874897-12-30]"}},
	"int4multirange": {since: 14, values: []string{"{}", "{(,)}", "{[1,2],[3,4],(,-5)}", "{empty}"}},
	"int8multirange": {since: 14, values: []string{"{}", "{(,)}", "{[1,2],[3,4],(,-5)}"}},
	"nummultirange":  {since: 14, values: []string{"{}", "{(,)}", "{[1.10,2),(2,3.0],[NaN,]}"}},
	"tsmultirange":   {since: 14, values: []string{"{}", "{(,)}", "{[-infinity,2000-01-01),(2001-01-01,infinity]}"}},
	"tstzmultirange": {since: 14, values: []string{"{}", "{(,)}", "{[-infinity,2000-01-01),(2001-01-01,infinity]}"}},
	"datemultirange": {since: 14, values: []string{"{}", "{(,)}", "{[-infinity,2000-01-01),(2001-01-01,infinity]}"}},
}

var (
	texts    = []string{"", " ", `\N`, `\.`, "tab\tnewline\ncr\rback\\", "ünïcödé 漢字 🐘", "'", `"`, "\x01\x7f"}
	wide     = "SELECT repeat(md5(g::text), g * g * 40) FROM generate_series(1, 10) g" // up to 128 kB: toasted
	jsons    = []string{"null", "{}", "[]", `""`, `{"b": 1, "a": [1.00, -0, 1e5, 123456789012345678901234567890.120]}`, `"\u00fc \" \\ \u0001 漢"`, `[true, [[], {"": {"x": null}}]]`, ` { "dup" : 1 , "dup" : 2 } `}
	moments  = []string{"-infinity", "infinity", "4714-11-24 00:00:00 BC", "0001-12-31 23:59:59.999999 BC", "2000-01-01", "294276-12-31 23:59:59.999999"}
	numerics = []string{"NaN", "0", "0.000", "-0.00", "1", "-1", "10000", "0.0001", "1.10", "1e100", "1e-100", "99999999999999999999.99990000", "-123456789.000000001"}
)

func longNumerics() []string {
	return []string{strings.Repeat("9", 131072), "0." + strings.Repeat("0", 16382) + "1", "-" + strings.Repeat("1234567890", 3000) + ".5"}
}
