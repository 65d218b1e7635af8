package mysource

import (
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
)

// ordered reports whether ranges of the column's values can be written as conditions: the server
// sorts ENUM and SET by number and compares them with strings, and floats are no keys to cut by.
func (c *column) ordered() bool {
	return slices.Contains([]string{"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "char", "varchar", "binary", "varbinary",
		"tinytext", "text", "tinyblob", "blob", "date", "datetime", "timestamp", "time", "year"}, c.dataType)
}

func (c *column) integer() bool {
	return slices.Contains([]string{"tinyint", "smallint", "mediumint", "int", "bigint"}, c.dataType)
}

// literal writes a value of the column, as the snapshot's sessions return it, for a condition. Text keeps
// its own bytes and charset; the comparison is the column's.
func (c *column) literal(v string) string {
	switch {
	case c.integer() || c.dataType == "decimal" || c.dataType == "year":
		return v
	case c.charset != "":
		return "_" + c.charset + " " + mysession.Bytes(v)
	case slices.Contains([]string{"date", "datetime", "timestamp", "time"}, c.dataType):
		return "'" + v + "'"
	}
	return mysession.Bytes(v)
}

// expression is what a column's values are read by, so that what is read holds all of the value:
// the bytes of text in the column's own charset, all bits of a float.
func (c *column) expression() string {
	q := mysession.Ident(c.name)
	switch c.dataType {
	case "float":
		if c.scale {
			// Rounded to the nearest float, the greatest value may be beyond the column's own limit, and be refused.
			limit := strings.Repeat("9", c.precision-c.decimals) + "." + strings.Repeat("9", c.decimals) + "e0"
			return "GREATEST(LEAST(" + q + " * 1e0, " + limit + "), -" + limit + ")"
		}
		return q + " * 1e0" // as text it loses bits; as a double it has them all
	case "double":
		if c.scale {
			return q + " * 1e0"
		}
	case "year":
		return "LPAD(" + q + ", 4, '0')" // the number 0 and the text 0 are two years
	case "inet4", "inet6", "uuid":
		return "CAST(" + q + " AS CHAR)"
	case "json":
		// MySQL's, which holds more than its text tells: dates, decimals, bytes. What becomes another value when its text is read gets
		// a blank at the end. Where it arrived it has none, and the tables differ, as they do.
		text := "CAST(" + q + " AS CHAR CHARACTER SET utf8mb4)"
		return "IF(" + q + " = CAST(" + text + " AS JSON), " + text + ", CONCAT(" + text + ", ' '))"
	case "enum":
		// The empty string of an error is no member; a zero in figures is what the server takes for one.
		return "IF(" + q + " + 0 = 0, '" + c.zero() + "', " + q + ")"
	case "set":
		if c.hasMember("") {
			return "CAST(" + q + " AS UNSIGNED)" // two sets would look the same; as a sum it would be a double
		}
	}
	return q
}

// target says what a field is loaded into: the column itself, or a variable of which assign makes the value.
func (c *column) target(variable string) (into, assign string) {
	q := mysession.Ident(c.name)
	switch c.dataType {
	case "enum": // a warning comes with each error value: they are counted
		return variable, q + " = " + mysession.CountZero(variable, c.zero(), c.charset)
	case "inet4", "inet6", "uuid": // in binary they would be taken for the value's own bytes, or refused
		return variable, q + " = CONVERT(" + variable + " USING utf8mb4)"
	case "json": // the same; the blank is no part of it, also where JSON is a text (see expression)
		return variable, q + " = RTRIM(CONVERT(" + variable + " USING utf8mb4))"
	case "set":
		if c.hasMember("") {
			return variable, q + " = CAST(" + variable + " AS UNSIGNED)"
		}
	}
	return q, ""
}

// members are those of an ENUM or a SET.
func (c *column) members() []string {
	var out []string
	for _, t := range mysession.Tokens(c.columnType) {
		if t.Kind == mysession.String {
			out = append(out, strings.ReplaceAll(t.Text[1:len(t.Text)-1], "''", "'"))
		}
	}
	return out
}

func (c *column) hasMember(m string) bool { return slices.Contains(c.members(), m) }

// zero is a zero in figures that is no member of the ENUM.
func (c *column) zero() string {
	z, members := "0", c.members()
	for slices.Contains(members, z) {
		z += "0"
	}
	return z
}

// from is what the table is read from.
func (r *relation) from() string {
	if r.versioned {
		return mysession.Ident(r.name) + " FOR SYSTEM_TIME ALL"
	}
	return mysession.Ident(r.name)
}
