package telemetry

// Exported for the tests of this package.
var (
	ParseTraceParent  = parseTraceParent
	FormatTraceParent = formatTraceParent
	AppendVisible     = appendVisible
)

// MaxPending is the bound of the bytes of lines that wait.
const MaxPending = maxPending
