"""Phrasings of the tasks about what is being done: phase, step, action, triplet, plan, safety."""

from surgzoo.tasks.grammar import phrasings

PHASE_RECOGNITION = phrasings(
    (
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
    ),
    "(Which|What) phase of the (operation|procedure|surgery) "
    "(is shown|is depicted|do you see) (here|in this image|in the frame)?",
    "(Name|Identify|State|Determine) the (surgical phase|phase of the procedure) "
    "(in this image|that the frame shows|at this moment).",
    "(Given|In) this (laparoscopic|endoscopic|surgical) image, "
    "which surgical phase is being performed?",
    "(Can|Could) you (tell|recognise) the (phase|surgical phase) (from this frame|here)?",
    "To which (phase|surgical phase) does this (image|moment|view) belong?",
    "Which phase (has the operation reached|is the surgeon in|is under way)[ at this point]?",
    "Look at the (image|frame) and (name|tell me) the phase[ of the surgery].",
    "How far has the (operation|procedure) come: which phase is this?",
    "(Assign|Match) this (image|frame) to a phase of the (operation|procedure).",
)

STEP_RECOGNITION = phrasings(
    (
        "Which surgical step is shown?",
        "What is the current step?",
        "Name the step of the operation.",
        "Which step is being performed?",
        "Identify the surgical step.",
        "What step of surgery is this?",
        "Which step does this frame belong to?",
        "Tell me the current surgical step.",
        "At which step is the procedure?",
        "What step is carried out here?",
        "Step of this frame?",
        "Classify the step of this image.",
        "Which step of the workflow is this?",
        "Name the workflow step.",
    ),
    "(Which|What) step of the (operation|procedure|surgery) "
    "(is shown|is depicted|do you see) (here|in this image|in the frame)?",
    "(Name|Identify|State|Determine) the (surgical step|step of the procedure) "
    "(in this image|that the frame shows|at this moment).",
    "(Given|In) this (laparoscopic|endoscopic|surgical) image, "
    "which surgical step is being performed?",
    "(Can|Could) you (tell|recognise) the (step|surgical step) (from this frame|here)?",
    "To which (step|surgical step) does this (image|moment|view) belong?",
    "Which step (has the operation reached|is the surgeon at|is under way)[ right now]?",
    "Look at the (image|frame) and (name|tell me) the step[ of the surgery].",
    "How far has the (operation|procedure) come: which step is this?",
    "(Assign|Match) this (image|frame) to a step of the (operation|procedure).",
)

ACTION_RECOGNITION = phrasings(
    (
        "Which surgical action is shown?",
        "What action does the clip show?",
        "Name the surgical action.",
        "Which action is being performed?",
        "Identify the action in this clip.",
        "What is the surgeon doing?",
        "What surgical action is this?",
        "Classify the action of this clip.",
        "Tell me the current action.",
        "Action in this clip?",
        "Which action do you see?",
        "What is done in this video?",
        "Name the action of the clip.",
        "Which manoeuvre does the video show?",
    ),
    "(Which|What) [surgical ]action (is performed|takes place|is shown) "
    "(in this clip|in the video|in these frames)?",
    "(Name|Identify|State|Determine) the (action|surgical action) "
    "(in this video|that the clip shows|that is performed here).",
    "(Given|In) this (laparoscopic|endoscopic|surgical) clip, "
    "what surgical action is being performed?",
    "(Can|Could) you (tell|recognise) the (action|surgical action) (from this clip|in the video)?",
    "Which (class|kind) of (action|surgical action) does this (clip|video) show?",
    "Watch the (clip|video) and (name|tell me) the action[ of the surgeon].",
    "What is the surgeon doing (in this clip|in the video|in these frames)?",
    "(Assign|Match) this (clip|video) to (a surgical action|an action class).",
    "(Which|What) action (fills|makes up) this (clip|stretch of video)?",
)

# {actor}: an instrument or a hand, where several act at once
ACTOR_ACTION_RECOGNITION = phrasings(
    (
        "What is the {actor} doing?",
        "Which action does the {actor} perform?",
        "Name the action of the {actor}.",
        "What is done with the {actor}?",
        "Identify what the {actor} does.",
        "Which surgical action is that of the {actor}?",
        "Action of the {actor}?",
        "Tell me what the {actor} is used for.",
        "What does the {actor} do in this clip?",
        "Classify the action of the {actor}.",
    ),
    "(Which|What) [surgical ]action is (performed|carried out|done) with the {actor} "
    "(in this clip|in the video|in these frames)?",
    "(Name|Identify|State|Determine) the [surgical ]action (of|performed by|carried out with) the "
    "{actor}[ in this clip].",
    "(Given|In) this (laparoscopic|endoscopic|surgical) clip, what action does the {actor} "
    "perform?",
    "(Can|Could) you (tell|recognise) (what the {actor} does|the action of the {actor})"
    "[ from this clip]?",
    "(Watch|Follow) the {actor} and (name|classify) its action[ in this video].",
    "For what is the {actor} used (here|in this clip|in the video)?",
    "Several (instruments|tools) act at once: what (does the {actor} do|is done by the {actor})?",
    "(Which|What) (class|kind) of action is (shown|carried out) by the {actor}[ in these frames]?",
    "Of the actions in this (clip|video), which is (that of|performed by) the {actor}?",
    "How is the {actor} (used|employed) in this (clip|video)?",
)

TRIPLET_RECOGNITION = phrasings(
    (
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
    ),
    "(List|Name|Give|Identify) (all|the) (action triplets|instrument-verb-target triplets) "
    "(in this image|of the frame|that you see).",
    "(Which|What) (action triplets|tool-tissue interactions) "
    "(are visible|take place|can be seen) (here|in this image|in the frame)?",
    "For (each|every) (instrument|tool), (name|state|give) the (verb and the target|"
    "action and the tissue).",
    "What (task|action) does each (instrument|tool) perform, and on which (target|tissue)?",
    "(Describe|State) the complete action (as|in terms of) tool, action and tissue.",
    "Which (instruments|tools) act on which (tissues|targets), and how?",
    "(Look at|In) the (image|frame): who does what, by instrument, verb and target?",
    "Break the (scene|surgical action) down into instrument, verb and target.",
    "(Can|Could) you (list|name) the [action ]triplets (of this frame|in the scene)?",
)

SAFETY_ASSESSMENT = phrasings(  # {view}: the set of criteria; {criteria}: their names, numbered
    (
        "Which criteria of the {view} are met?",
        "Assess the {view}: {criteria}.",
        "Is the {view} achieved? Criteria: {criteria}.",
        "Rate the {view}: {criteria}.",
        "Judge each criterion of the {view}.",
        "The {view}, yes or no: {criteria}?",
        "Check the {view}: {criteria}.",
        "Are the criteria of the {view} fulfilled?",
        "Evaluate the {view}: {criteria}.",
        "Which criteria hold for the {view}? {criteria}.",
        "Is the {view} complete? {criteria}.",
        "Go through the {view}: {criteria}.",
    ),
    "(Assess|Evaluate|Judge|Check) the criteria of the {view} "
    "(in this image|in the frame|one by one): {criteria}.",
    "(Which|What) criteria of the {view} (are met|are achieved|are satisfied) "
    "(here|in this image|in the frame): {criteria}?",
    "(Say|State|Decide) for each criterion of the {view} whether it is (met|fulfilled): "
    "{criteria}.",
    "(Given|In) this image, is each criterion of the {view} (met|achieved)? {criteria}.",
    "(Can|Could) you (assess|rate) the {view}[ in this image]? The criteria are {criteria}.",
    "Does (this image|the frame) (meet|satisfy) the criteria of the {view}: {criteria}?",
    "(Given|In) this (laparoscopic|surgical) view, which criteria of the {view} are met: "
    "{criteria}?",
    "(List|Name) the criteria of the {view} and say which (are met|hold): {criteria}.",
    "May the surgeon go on? (Assess|Evaluate) the {view}: {criteria}.",
    "How safe is it to go on? (Assess|Rate) the {view}: {criteria}.",
    "Answer yes or no for (each|every) criterion of the {view}: {criteria}.",
    "The {view} has these criteria: {criteria}. Which (are met|are achieved|hold)[ here]?",
    "(Look at the frame|Look at the image) and (score|judge) the {view} by {criteria}.",
    "Is the {view} (reached|established)[ in this frame]? Answer for {criteria}.",
    "(Tell me|Report) which of these criteria of the {view} are (met|fulfilled): {criteria}.",
    "(Score|Grade) (this image|the frame) by the {view}, criterion by criterion: {criteria}.",
)

ACTION_REMAINING = phrasings(  # {action}: what the clip shows
    (
        "How long will the {action} still take?",
        "Time left in the {action}?",
        "How many seconds of {action} remain?",
        "When will the {action} end?",
        "Predict the remaining time of the {action}.",
        "How much longer does the {action} last?",
        "Seconds until the {action} is over?",
        "Estimate the time left for the {action}.",
        "In how many seconds does the {action} end?",
        "Give the remaining seconds of the {action}.",
        "How soon is the {action} finished?",
        "What is the remaining duration of the {action}?",
    ),
    "(Predict|Estimate) (how many seconds|how much time) the {action} will still take[ from here].",
    "How many (more seconds|seconds more) will the {action} (last|take|go on)?",
    "How (much time|many seconds) (will pass|will go by) (before|until) the {action} "
    "(ends|is done|stops)?",
    "(Given|From) this clip, (how many seconds are left in|when will the surgeon finish) "
    "the {action}?",
    "The (clip|video) shows {action}: how (long until it ends|many seconds remain)?",
    "(Give|State|Predict|Estimate) the (time|number of seconds) "
    "(left|that remains) (until the end of|for) the {action}.",
    "(Watch the clip and|From these frames,) (predict|estimate) (the end|the time left) "
    "of the {action}[ in seconds].",
    "After how many seconds is the {action} (complete|over|finished|ended)?",
    "The surgeon is busy with {action}. How (long|many seconds) to go?",
    "At what time from now will the {action} (end|stop|be over)?",
)

NEXT_ACTION = phrasings(
    (
        "Which action comes next?",
        "What will the surgeon do next?",
        "Name the next action.",
        "Predict the following action.",
        "What is the next surgical action?",
        "Which action follows this clip?",
        "Plan the next action.",
        "What comes after this action?",
        "Tell me the next action.",
        "What should happen next?",
        "Which action will follow?",
        "Next action?",
    ),
    "(Which|What) [surgical ]action (comes|follows|is performed|will be performed) "
    "(next|after this clip|after these frames)?",
    "(Predict|Name|Anticipate|Plan) the (next|following) (surgical action|action of the surgeon)"
    "[ after this clip].",
    "(Given|After) (this clip|what you have seen|the actions so far), "
    "(which|what) action comes next?",
    "What (will the surgeon most likely do|is the surgeon going to do|is to be done) "
    "(next|after this|afterwards)?",
    "(Which|What) action is (most likely|due|to be expected) (next|after this clip)?",
    "(Can|Could) you (predict|tell) (the next action|what follows)[ from this clip]?",
    "How does the operation (continue|go on) after this (clip|action)?",
    "(Watch|Look at) the clip and (predict|name) the action that (follows|comes after it).",
)
