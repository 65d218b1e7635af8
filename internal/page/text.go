package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// count writes a number in groups of three digits.
func count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// bytes writes a size in binary units.
func bytes(n int64) string {
	if n > -1024 && n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for ; math.Abs(f) >= 1024 && i < 5; i++ {
		f /= 1024
	}
	digits := 1
	if math.Abs(f) >= 100 {
		digits = 0
	}
	return fmt.Sprintf("%.*f %ciB", digits, f, "KMGTPE"[i])
}

// took writes a time for people: 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min.
func took(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case s < 0:
		return ""
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

// percent writes a share.
func percent(part, whole float64) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*part/whole)
}

func plural[T int | int64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// nice is the smallest of 1, 2, 5 times a power of ten that is not below x.
func nice(x float64) float64 {
	if x <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*p >= x*0.999999 {
			return m * p
		}
	}
	return 10 * p
}

// niceTime is nice for an axis of seconds: minutes and hours divide by sixty.
func niceTime(x float64) float64 {
	if x <= 10 {
		return nice(x)
	}
	for _, s := range []float64{10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400} {
		if s >= x {
			return s
		}
	}
	return 86400 * math.Ceil(x/86400)
}

// tick labels a moment on the axis, for steps of the given width.
func tick(s, step float64) string {
	switch {
	case s == 0:
		return "0"
	case step < 1:
		return strconv.FormatFloat(s, 'f', int(math.Ceil(-math.Log10(step)-1e-9)), 64) + " s"
	case step < 60 && s < 120:
		return fmt.Sprintf("%.0f s", s)
	case step < 60:
		return fmt.Sprintf("%d:%02d", int(s)/60, int(s)%60)
	case step < 3600:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.0f h", s/3600)
}
