package sidebyside

// Row is a difference that docs/from-clsync.md names.
type Row string

// Of its table of lists.
const (
	Escaping Row = "escaping"
	Excludes Row = "excludes"
	Parts    Row = "parts"
	Root     Row = "root"
	Dash     Row = "dash"
	Macros   Row = "macros"
	Newline  Row = "newline"
	Return   Row = "return"
	Percent  Row = "percent"
)

// Of its table of what is told.
const (
	Marks     Row = "marks"
	Kinds     Row = "kinds"
	Came      Row = "came"
	Gone      Row = "gone"
	Above     Row = "above"
	Unwalked  Row = "unwalked"
	Iteration Row = "iteration"
	Status    Row = "status"
)

// Of its table of what is different on purpose.
const (
	Events    Row = "calls of a handler"
	RuleKinds Row = "rules: kinds"
	Times     Row = "times" // met when rsync and the change fall into one second
)

// Lists, Told and Changes are the rows of the tables; of the last one those that are
// met in a comparison.
func Lists() []Row {
	return []Row{Escaping, Excludes, Parts, Root, Dash, Macros, Newline, Return, Percent}
}

// Told is the second table.
func Told() []Row { return []Row{Marks, Kinds, Came, Gone, Above, Unwalked, Iteration, Status} }

// Changes is the third.
func Changes() []Row { return []Row{Events, RuleKinds} }

// Sometimes are rows of the third table as well, that a comparison may meet.
func Sometimes() []Row { return []Row{Times} }
