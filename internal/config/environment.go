package config

import "strings"

// settings gives the environment with the values of well-known variables brought into the words of the file. Those
// variables were not made for us, so their spelling is theirs: Python's names of log levels, OpenTelemetry's switch.
func settings(env func(string) (string, bool)) func(string) (string, bool) {
	if env == nil {
		return func(string) (string, bool) { return "", false }
	}
	return func(name string) (string, bool) {
		value, ok := env(name)
		switch name {
		case "MCP_LOG_LEVEL", environmentPrefix + "_LOG_LEVEL":
			return level(value), ok
		case "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS":
			if off, _ := env("OTEL_SDK_DISABLED"); strings.EqualFold(off, "true") {
				return "", false
			}
		}
		return value, ok
	}
}

// level gives the word of slog for a log level of other systems; what it does not know stays, to be refused by name.
func level(word string) string {
	switch lower := strings.ToLower(word); lower {
	case "warning":
		return "warn"
	case "critical", "fatal", "alert", "emergency":
		return "error"
	case "notice":
		return "info"
	case "trace", "notset":
		return "debug"
	default:
		return lower
	}
}
