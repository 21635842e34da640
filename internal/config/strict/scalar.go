package strict

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

var durationType = reflect.TypeFor[time.Duration]()

// textual gives the type's own way to read text, if it has one. Its error must not repeat the text, which may be a secret,
// and goes on after "is": not a size like 4MiB.
func textual(v reflect.Value) (encoding.TextUnmarshaler, bool) {
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return u, ok
}

// secret tells whether values of the type must not be shown.
func secret(t reflect.Type) bool {
	_, ok := t.MethodByName("Reveal")
	return ok
}

// Expected says what a value of the type must be, for a message and for the manual.
func Expected(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration"
	case t == rawType:
		return "a section"
	case t.Kind() != reflect.String && t.Kind() != reflect.Struct && reflect.PointerTo(t).Implements(textualType):
		return "a size"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	default:
		return "a section"
	}
}

// setText stores the value that a text stands for. seconds allows a duration without a unit, as environment variables
// have them. The answer is empty, or what is wrong with it and what to do.
func setText(v reflect.Value, f Field, text string, seconds bool) problem {
	if u, ok := textual(v); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return problem{what: "is " + err.Error()}
		}
		return inRange(v, f)
	}
	var p problem
	switch {
	case v.Type() == durationType:
		p = setDuration(v, text, seconds)
	case v.Kind() == reflect.String:
		v.SetString(text)
		return inEnum(f, text)
	case v.Kind() == reflect.Bool:
		p = setBool(v, text)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return problem{what: "is not a whole number", remedy: "write it in digits, like 16"}
		}
		v.SetInt(n)
	case v.CanFloat():
		number := strings.TrimSuffix(text, f.Unit)
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return problem{what: "is not a number", remedy: "write it in digits, like 0.5" + percentHint(f)}
		}
		v.SetFloat(n)
	}
	if p.what != "" {
		return p
	}
	return inRange(v, f)
}

func percentHint(f Field) string {
	if f.Unit == "" {
		return ""
	}
	return " or 80" + f.Unit
}

func setDuration(v reflect.Value, text string, seconds bool) problem {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && n < 1e9 {
		switch {
		case seconds:
			v.SetInt(int64(n * float64(time.Second)))
			return problem{}
		case n == 0:
			v.SetInt(0)
			return problem{}
		}
		return problem{what: "has no unit", remedy: fmt.Sprintf("write %ss for seconds, or %sms", text, text)}
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		return problem{what: "is not a duration", remedy: "write it with a unit, like 500ms, 30s, 5m or 1h30m"}
	}
	v.SetInt(int64(d))
	return problem{}
}

func setBool(v reflect.Value, text string) problem {
	switch strings.ToLower(text) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	case "yes", "on", "1":
		return problem{what: "is not true or false", remedy: "write true"}
	case "no", "off", "0":
		return problem{what: "is not true or false", remedy: "write false"}
	default:
		return problem{what: "is not true or false", remedy: "write true or false"}
	}
	return problem{}
}

func inEnum(f Field, text string) problem {
	if len(f.Enum) == 0 || slices.Contains(f.Enum, text) {
		return problem{}
	}
	remedy := "write one of " + strings.Join(f.Enum, ", ")
	if guess := Suggest(text, f.Enum); guess != "" {
		remedy = fmt.Sprintf("did you mean %q? It is one of %s", guess, strings.Join(f.Enum, ", "))
	}
	return problem{what: "is not known here", remedy: remedy}
}

// inRange compares a number with the bounds of its field.
func inRange(v reflect.Value, f Field) problem {
	if f.Min != "" && compare(v, f, f.Min) < 0 {
		return problem{what: "is too small", remedy: "the least is " + f.Min}
	}
	if f.Max != "" && compare(v, f, f.Max) > 0 {
		return problem{what: "is too large", remedy: "the most is " + f.Max}
	}
	if v.CanInt() && f.Min == "" && v.Int() < 0 {
		return problem{what: "is negative", remedy: "write a number that is not"}
	}
	return problem{}
}

func compare(v reflect.Value, f Field, bound string) int {
	limit := reflect.New(v.Type()).Elem()
	if p := setText(limit, Field{Unit: f.Unit}, bound, false); p.what != "" {
		panic(fmt.Sprintf("strict: bound %q of %s %s", bound, f.Key, p.what)) // a slip in a struct tag
	}
	if v.CanFloat() {
		return cmp.Compare(v.Float(), limit.Float())
	}
	return cmp.Compare(v.Int(), limit.Int())
}
