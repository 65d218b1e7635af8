package mysession

import (
	"slices"
	"strings"
)

// LedgerTable begins the names of the tables in which pgmove keeps its ledger, in the target's own
// database; LedgerComment begins their comments, which tell them from a user's tables of such a name.
const (
	LedgerTable   = "pgmove_ledger"
	LedgerComment = "pgmove ledger"
)

// IsLedger reports whether a table is one of pgmove's ledger's.
func IsLedger(name, comment string) bool {
	return strings.HasPrefix(name, LedgerTable) && strings.HasPrefix(comment, LedgerComment)
}

// loadHead begins a data entry's CopyStmt; the file's name is left open.
const loadHead = "LOAD DATA LOCAL INFILE ''"

// LoadStmt is the statement that loads a data entry's rows: its CopyStmt. into are the columns or
// user variables that the fields of a row go into; sets are assignments.
//
// A row is a line. Fields are separated by tabs; a backslash stands before a tab, a newline or a
// backslash that is data, as \t, \n and \\; NULL is \N. So a row's text tells its values apart from all others.
// The charset binary has the server take a text's bytes as they are, which are in the column's own charset.
func LoadStmt(table string, into, sets []string) string {
	s := loadHead + " INTO TABLE " + Ident(table) + ` CHARACTER SET binary FIELDS TERMINATED BY '\t' ENCLOSED BY '' ESCAPED BY '\\' LINES TERMINATED BY '\n' STARTING BY '' (` +
		strings.Join(into, ", ") + ")"
	if len(sets) > 0 {
		s += " SET " + strings.Join(sets, ", ")
	}
	return s
}

// LoadFrom fills the file's name into a CopyStmt; of the driver's readers it is "Reader::" and the reader's name.
// It returns "" where the statement is none.
func LoadFrom(copyStmt, file string) string {
	rest, ok := strings.CutPrefix(copyStmt, loadHead)
	if !ok {
		return ""
	}
	return strings.TrimSuffix(loadHead, "''") + Literal(file) + rest
}

// Zeros and WideZeros are the user variables in which a load counts the values of ENUM columns that are no member: the error
// value, which MariaDB warns of whenever it is stored. Who loads there sets both to 0 before, and after it takes as many
// warnings as they say together; any more and the chunk did not arrive as it left. MySQL warns of those in charsets without
// single bytes alone, since it reads the number in all others: there, as many warnings are taken as WideZeros says.
const (
	Zeros     = "@pgmove_zeros"
	WideZeros = "@pgmove_wide_zeros"
)

// wide are the charsets whose every character has two bytes or more.
var wide = []string{"ucs2", "utf16", "utf16le", "utf32"}

// CountZero is the expression that passes an ENUM's field on, and counts it if it is zero in the column's charset. The counter is
// compared with a number, which it never is below: what can't be NULL MySQL doesn't evaluate to see whether it is.
func CountZero(variable, zero, charset string) string {
	counter := Zeros
	if slices.Contains(wide, charset) {
		counter = WideZeros
	}
	return "IF(" + variable + " = CAST(CONVERT('" + zero + "' USING " + charset + ") AS BINARY) AND (" + counter + " := COALESCE(" + counter + ", 0) + 1) < 1, NULL, " + variable + ")"
}
