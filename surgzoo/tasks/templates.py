"""The phrasings of the questions, all in one place: task -> templates.

Short on purpose: a question is repeated millions of times and its tokens are paid for each time. No
phrasing stands twice, in one task or in two, so a question also tells which task it is.
"""

INSTRUMENT_RECOGNITION = (
    "Which instruments are in view?",
    "What instruments can be seen?",
    "Name the surgical instruments.",
    "List all visible instruments.",
    "Which tools are present?",
    "What tools are used here?",
    "Identify the instruments in this image.",
    "What is the category of these instruments?",
    "Which surgical tools does the frame show?",
    "Tell me the visible tools.",
    "Instruments in this frame?",
    "Name every tool in the image.",
    "Which instrument types do you see?",
    "List the tools in this surgical scene.",
)

INSTRUMENT_LOCALIZATION = (  # {instrument}: one class
    "Where is the {instrument}?",
    "Locate the {instrument}.",
    "Find the {instrument} in bounding box form.",
    "Give the bounding box of the {instrument}.",
    "Box the {instrument}.",
    "At which coordinates is the {instrument}?",
    "Mark the {instrument} with a box.",
    "Detect the {instrument}.",
    "What is the bounding box of the {instrument}?",
    "Point out the {instrument} with a box.",
    "Give the position of the {instrument}.",
    "Show where the {instrument} is.",
    "Return the coordinates of the {instrument}.",
)

ALL_INSTRUMENTS_LOCALIZATION = (
    "Locate all the instruments.",
    "Where are the instruments?",
    "Give a bounding box for every instrument.",
    "Box all visible tools.",
    "Find all the tools in bounding box form.",
    "Detect every instrument and name it.",
    "Which tools are where?",
    "Name and locate each tool.",
    "Mark each instrument with a box.",
    "List the instruments with their boxes.",
    "Return names and coordinates of all tools.",
    "Give the position of each instrument.",
)

PHASE_RECOGNITION = (
    "Which surgical phase is shown?",
    "What is the current phase?",
    "Name the phase of the operation.",
    "Which phase is being performed?",
    "Identify the surgical phase.",
    "What phase of surgery is this?",
    "Which phase does this frame belong to?",
    "Tell me the current surgical phase.",
    "In which phase is the procedure?",
    "What stage of the operation is shown?",
    "Phase of this frame?",
    "Classify the phase of this image.",
    "Which part of the workflow is this?",
    "Name the workflow phase.",
)

TRIPLET_RECOGNITION = (
    "Which instrument does what to which tissue?",
    "Describe each tool, action and tissue.",
    "List the action triplets.",
    "Name instrument, verb and target.",
    "What does each instrument do?",
    "Give all instrument-verb-target triplets.",
    "Which actions are performed, with what, on what?",
    "What is each tool doing, and to what?",
    "Identify the surgical action triplets.",
    "State tool, action and target for each instrument.",
    "Which triplets describe this frame?",
    "What are the tools doing to the tissue?",
    "Describe the complete actions in this image.",
    "Name every tool-tissue interaction.",
)
