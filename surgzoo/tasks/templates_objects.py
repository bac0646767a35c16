"""Phrasings of the tasks about what is in view and where: instruments, tissues, organs."""

from surgzoo.tasks.grammar import phrasings

INSTRUMENT_RECOGNITION = phrasings(
    (
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
    ),
    "(Which|What) (surgical instruments|tools) (are visible|can be seen|appear) "
    "(in this image|in the frame|here)?",
    "(Name|List|Identify) (all|the) (surgical instruments|tools) "
    "(that you can see|in the picture|present in this view).",
    "Can you tell which (instruments|tools) (are in the field of view|are on the screen)?",
    "Please say which (instruments|tools) (are in the field of view|the surgeon is using).",
    "Look at the (image|frame) and name (every|each) (instrument|tool) in it.",
    "Which (types|kinds|classes) of (instruments|surgical tools) "
    "(does this image show|are present in the scene)?",
    "What is the surgeon (holding|working with) (here|in this frame)?",
    "(Given|In) this (endoscopic|laparoscopic|surgical) image, which instruments are present?",
    "I need a list of the (instruments|tools) in this (image|frame).",
)

INSTRUMENT_LOCALIZATION = phrasings(  # {instrument}: one class
    (
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
    ),
    "Where (is|can I find) the {instrument} (in this image|in the frame|in the surgical view)?",
    "(Locate|Detect|Find) the {instrument} in (this image|the frame|the picture)"
    "[ and give its bounding box].",
    "(Draw|Put) a (bounding box|rectangle) around the {instrument}[ in this frame].",
    "What are the [bounding box ]coordinates of the {instrument}[ in this image]?",
    "Which (box|bounding box|rectangle) (encloses|contains|surrounds) the {instrument}?",
    "(Give|Report|Return|Provide) the box of the {instrument} "
    "(as two corner points|in normalised coordinates|in numbers from 0 to 1000).",
    "(Can|Could) you (locate|find|box) the {instrument}[ for me]?",
    "(Tell me|Say) where the {instrument} is (in the picture|with a bounding box).",
    "(Look for|Search for) the {instrument} and (return its box|report its coordinates).",
    "In (this|the given) (surgical|endoscopic) image, (locate|box) the {instrument}.",
    "The {instrument} is in view: (where exactly|at which coordinates|in which box)?",
    "(Outline|Frame) the {instrument} with (a rectangle|a bounding box).",
)

ALL_INSTRUMENTS_LOCALIZATION = phrasings(
    (
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
    ),
    "(Locate|Detect|Find|Box) (all|all the) (instruments|surgical tools) in "
    "(this image|the frame|the picture).",
    "Where (are all the|are the) (instruments|tools) (in this image|in the frame)?",
    "(Name|Identify) (every|each) (instrument|tool) and (give its box|say where it is).",
    "(Draw|Put) a box around (every|each) (visible instrument|tool in view).",
    "(Which|What) instruments are (in view, and where|here, and in which boxes)?",
    "(Return|Report|List) the (names and boxes|classes and bounding boxes) of "
    "(all instruments|the tools in this frame).",
    "(Can|Could) you (locate|box) every (instrument|tool)[ in this image]?",
    "For (each|every) (instrument|tool) in view, give its name and (box|coordinates).",
)

TISSUE_RECOGNITION = phrasings(
    (
        "Which tissues are in view?",
        "What organs can be seen?",
        "Name the visible anatomy.",
        "List all tissues and organs.",
        "Which organs are featured?",
        "What anatomy is shown here?",
        "Identify the tissues in this image.",
        "Which anatomical structures are present?",
        "What tissues does the frame show?",
        "Tell me the organs in view.",
        "Anatomy in this frame?",
        "Name every organ in the image.",
        "Which structures do you recognise?",
        "List the anatomy of this scene.",
    ),
    "(Which|What) (tissues and organs|anatomical structures) (are visible|can be seen|appear) "
    "(in this image|in the frame|here)?",
    "(Name|List|Identify) (all|the) (tissues and organs|anatomical structures) "
    "(that you can see|in the picture|present in this view).",
    "Can you tell which (organs|tissues) (are in the field of view|are on the screen)?",
    "Please say which (organs|tissues) (are in the field of view|lie before the camera).",
    "Look at the (image|frame) and name (every|each) (organ|tissue) in it.",
    "Which (parts of the body|pieces of anatomy) (does this image show|do you see in the scene)?",
    "(Given|In) this (endoscopic|laparoscopic|surgical) image, which organs are present?",
    "I need a list of the (organs|tissues) in this (image|frame).",
    "What anatomy (lies|is exposed) in the (operative|surgical) field[ of this frame]?",
    "Which (organs or tissues|tissues or organs) does the (camera|endoscope) show?",
)

TISSUE_LOCALIZATION = phrasings(  # {tissue}: one class
    (
        "Where does the {tissue} lie?",
        "Give the box of the {tissue} as fractions.",
        "Which region does the {tissue} cover?",
        "Box the tissue: {tissue}.",
        "Locate the anatomy: {tissue}.",
        "What is the extent of the {tissue}?",
        "Give the region of the {tissue}.",
        "Find the tissue {tissue} and box it.",
        "Where in the view does the {tissue} appear?",
        "Return the extent of the {tissue}.",
        "Show the area that the {tissue} takes up.",
        "Over which coordinates does the {tissue} extend?",
        "Bound the {tissue} with a box of fractions.",
        "Delimit the {tissue} by a box.",
    ),
    "(Which|What) (part|region) of the (image|frame|view) (shows|contains) the {tissue}?",
    "(Give|Return|Report) the (extent|region) of the {tissue} "
    "(as x1, y1, x2, y2|in fractions of the image|with three decimals).",
    "(Mark|Show|Indicate) the (visible part|extent) of the {tissue} (with|by) a box.",
    "(Locate|Find) the {tissue} (among the tissues|in the anatomy)[ of this frame].",
    "In (this|the given) (surgical|endoscopic) image, where does the {tissue} lie?",
    "(Tell me|Say) (where the {tissue} lies|which region the {tissue} covers).",
    "(Can|Could) you (mark|delimit) the {tissue}[ with a box]?",
    "(Draw|Put) a box around the {tissue} (in view|as far as it is visible).",
    "From where to where does the {tissue} (reach|extend)[ in this image]?",
)

# {tissue}: one class, {area}: a cell of the 3x3 grid, as "top-left"
TISSUE_AREA_LOCALIZATION = phrasings(
    (
        "Where exactly is the {tissue} in the {area} area?",
        "Box the {tissue} in the {area} area.",
        "Locate the {tissue} in the {area} part.",
        "Give the box of the {tissue}, {area} area.",
    ),
    "(Find|Locate|Mark) the {tissue} (near|in) the {area} (area|part) of the (image|frame).",
    "The {tissue} is in the {area} area: (where exactly|in which box)?",
    "(Which|What) box (holds|bounds) the {tissue} in the {area} (area|region)?",
    "(Give|Return) the (coordinates|extent) of the {tissue} (around|in) the {area} area.",
    "Where in the {area} (area|part) (is|lies) the {tissue}[ in this image]?",
    "(Look at|Search) the {area} (area|part) and (box|locate|delimit) the {tissue}[ in it].",
    "In the {area} (area|region), (draw|put) a box around the {tissue}.",
    "(Can|Could) you (find|box|locate) the {tissue} in the {area} (area|region)?",
    "(Report|Return|State) the box of the {tissue} (with its centre in|that lies in) the {area} "
    "(area|part).",
    "Over which (coordinates|part of the image) does the {tissue} in the {area} area extend?",
)

ALL_TISSUES_LOCALIZATION = phrasings(
    (
        "Locate all tissues and organs.",
        "Where do the tissues lie?",
        "Box every tissue in view.",
        "Which organs are where?",
        "Name each organ and give its box.",
        "Give the region of every tissue.",
        "Map the anatomy with boxes.",
        "List the tissues with their boxes.",
        "Find all organs and box them.",
        "Locate the anatomy in this image.",
        "Return names and regions of all tissues.",
        "Bound each organ with a box.",
    ),
    "(Locate|Detect|Find|Box) (all|all the) (organs|anatomical structures) in "
    "(this image|the frame|the picture).",
    "Where (are all the|are the) (organs|tissues) (in this image|in the frame)?",
    "(Name|Identify) (every|each) (organ|tissue) and (give its extent|say where it lies).",
    "(Draw|Put) a box around (every|each) (visible organ|tissue in view).",
    "(Return|Report|List) the (names and boxes|classes and regions) of "
    "(all organs|the tissues in this frame).",
    "For (each|every) (organ|tissue) in view, give its name and (box|extent).",
)
