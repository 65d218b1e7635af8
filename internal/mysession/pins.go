package mysession

import (
	"slices"
	"strings"
)

// Role says what a session is for.
type Role uint8

// The roles.
const (
	// Read reads rows and definitions.
	Read Role = iota
	// Load changes the target.
	Load
)

// flavours are the servers that a setting is known to.
type flavours uint8

const (
	anyServer flavours = iota
	mariaOnly
	oracleOnly
)

// pin is a setting that sessions get.
type pin struct {
	name, value string
	role        int8 // 0 both, 1 Read, 2 Load
	on          flavours
	since       int
}

// pinned are the settings of every session, with the first server version that knows each.
// They make values and definitions print the same whatever the server is set to, keep
// slow peers from being cut off, and let a target take what the source holds.
var pinned = []pin{
	{"time_zone", "'+00:00'", 0, anyServer, 0},
	{"autocommit", "1", 0, anyServer, 0},
	// A zero date, or the 31st of February, is a value that tables hold.
	{"sql_mode", "'ALLOW_INVALID_DATES'", 1, anyServer, 0},
	{"sql_mode", "'" + LoadMode + "'", 2, anyServer, 0},
	// Text comes in the bytes that the column holds: through Unicode and back not every charset is what it was.
	{"character_set_results", "NULL", 1, anyServer, 0},
	{"net_read_timeout", "86400", 0, anyServer, 0},
	{"net_write_timeout", "86400", 0, anyServer, 0},
	{"wait_timeout", "2147483", 0, anyServer, 0},
	{"group_concat_max_len", "1073741823", 0, anyServer, 0},
	{"sql_quote_show_create", "1", 0, anyServer, 0},
	{"sql_select_limit", "18446744073709551615", 0, anyServer, 0},
	{"sql_big_selects", "1", 0, anyServer, 0},
	{"sql_safe_updates", "0", 0, anyServer, 0},
	{"sql_auto_is_null", "0", 0, anyServer, 0},
	{"sql_warnings", "0", 0, anyServer, 0},
	{"lock_wait_timeout", "60", 1, anyServer, 0},
	{"lock_wait_timeout", "3600", 2, anyServer, 0},
	{"innodb_lock_wait_timeout", "3600", 2, anyServer, 0},
	{"max_statement_time", "0", 0, mariaOnly, 0},
	{"max_execution_time", "0", 0, oracleOnly, 5070000},
	{"information_schema_stats_expiry", "0", 1, oracleOnly, 8000000},
	// A primary key that the server made is one of the table's columns, and is moved with it.
	{"show_gipk_in_create_table_and_information_schema", "1", 0, oracleOnly, 8000030},
	{"foreign_key_checks", "0", 2, anyServer, 0},
	// Off, MariaDB takes the first rows of a table by its bulk load, under a lock of the whole table: right for a chunk that is
	// alone (mytarget), and a deadlock for two that load into an empty table at a time.
	{"unique_checks", "1", 2, anyServer, 0},
	// What the source's server once let in, the target's must.
	{"innodb_strict_mode", "0", 2, mariaOnly, 0},
	{"explicit_defaults_for_timestamp", "1", 2, mariaOnly, 10100000},
	{"system_versioning_alter_history", "KEEP", 2, mariaOnly, 10030000},
	{"system_versioning_insert_history", "1", 2, mariaOnly, 10110000},
}

// LoadMode is the sql_mode of sessions that load: what doesn't fit is an error, and zeros,
// zero dates and dates that no calendar has are values like others.
const LoadMode = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

func (p pin) fits(role Role, v Version) bool {
	return (p.role == 0 || p.role == int8(role)+1) && v.Num >= p.since &&
		(p.on == anyServer || (p.on == mariaOnly) == v.MariaDB)
}

// Pins returns the settings that a session on a server of the version gets.
func Pins(role Role, v Version) map[string]string {
	m := map[string]string{"names": "utf8mb4", "transaction_isolation": "REPEATABLE-READ"}
	for _, p := range pinned {
		if p.fits(role, v) {
			m[p.name] = strings.Trim(p.value, "'")
		}
	}
	return m
}

// PinStatements are the statements that make the settings: what a session was set to for one entry is undone by them.
func PinStatements(role Role, v Version) []string {
	var sets []string
	for _, p := range pinned {
		if p.fits(role, v) {
			sets = append(sets, p.name+" = "+p.value)
		}
	}
	return slices.Concat([]string{"SET NAMES utf8mb4", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"},
		[]string{"SET SESSION " + strings.Join(sets, ", ")})
}
