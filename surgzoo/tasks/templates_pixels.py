"""Instructions of the tasks whose answer is an image, a map or a video."""

from surgzoo.tasks.grammar import phrasings

INSTRUMENT_SEGMENTATION = phrasings(  # {instrument}: one class
    (
        "Segment the {instrument}.",
        "Give the mask of the {instrument}.",
        "Paint the {instrument} white, the rest black.",
        "Mask the {instrument}.",
        "Return a segmentation of the {instrument}.",
        "Which pixels belong to the {instrument}?",
        "Cut out the {instrument}.",
        "Draw the mask of the {instrument}.",
    ),
    "(Segment|Mask) the {instrument} (in this image|in the frame|pixel by pixel).",
    "(Give|Make|Return) a (binary mask|black and white mask) of the {instrument}.",
    "(Mark|Colour) (every pixel|all pixels) of the {instrument} in white.",
    "(Show|Predict) the (pixels|silhouette) of the {instrument}.",
    "(Separate|Isolate|Extract) the {instrument} from (its background|the rest of the scene).",
    "(Draw|Trace|Outline) the (contour|exact shape) of the {instrument} and fill it with white.",
    "Where (exactly|precisely) (is|lies) the {instrument}? (Answer with|Give|Return) a mask.",
    "(Can|Could) you (segment|mask|cut out) the {instrument}[ in this frame]?",
    "(Make|Paint) an image (that is white on|with white for) the {instrument} and black elsewhere.",
    "(Label|Classify) each pixel: the {instrument} (or not|against everything else).",
    "In this (surgical|endoscopic|laparoscopic) (image|view), (segment|mask) the {instrument}.",
    "(Set|Turn) all pixels of the {instrument} to white (and the others|and all else) to black.",
    "(Which|What) (part|area) of the (image|frame) is {instrument}? Paint it white.",
    "(Look for|Find) the {instrument} and (return|give) its mask[ in white].",
)

ALL_INSTRUMENTS_SEGMENTATION = phrasings(
    (
        "Segment all instruments.",
        "Give the mask of the instruments.",
        "Paint the instruments white, the rest black.",
        "Mask every tool.",
        "Return a segmentation of the tools.",
        "Which pixels belong to instruments?",
        "Cut out all the tools.",
        "Draw the mask of all instruments.",
    ),
    "(Segment|Mask) (the instruments|all surgical tools) "
    "(in this image|in the frame|pixel by pixel).",
    "(Give|Make|Return) a (binary mask|black and white mask) of (all instruments|the tools).",
    "(Mark|Colour) (every pixel|all pixels) of (every instrument|the tools) in white.",
    "(Separate|Isolate) (the instruments|all tools) from (the tissue|the background).",
    "(Draw|Trace) the (contours|exact shapes) of (the instruments|all tools) and fill them with "
    "white.",
    "Where (exactly|precisely) are the (instruments|tools)? (Answer with|Return) one mask.",
    "(Can|Could) you (segment|mask) (every instrument|all tools)[ in this frame]?",
    "(Make|Paint) an image with (white instruments|white tools) on a black ground.",
    "(Label|Classify) each pixel as (instrument or not|tool or tissue).",
    "In this (surgical|endoscopic) (image|view), (segment|mask) whatever is an instrument.",
    "(Show|Predict) the (pixels|silhouettes) of (the instruments|all tools).",
    "Turn (instruments|all tools) white and (tissue|all else) black.",
)

TISSUE_SEGMENTATION = phrasings(  # {tissue}: one class
    (
        "Segment the tissue: {tissue}.",
        "Give the mask of this organ: {tissue}.",
        "Which pixels show {tissue}?",
        "Paint {tissue} white and all else black.",
        "Mask the anatomy: {tissue}.",
        "Return a tissue mask of {tissue}.",
        "Draw the mask of the tissue {tissue}.",
        "Cut the {tissue} out of the anatomy.",
    ),
    "(Segment|Mask) the (tissue|structure) {tissue} (in this image|in the frame|pixel by pixel).",
    "(Give|Make|Return) a (binary|black and white) (mask|map) of the anatomy called {tissue}.",
    "(Mark|Colour) (every pixel|all pixels) that (show|belong to) {tissue} in white.",
    "(Show|Predict) which (pixels|parts of the image) are {tissue}[, in white].",
    "(Separate|Isolate|Extract) the {tissue} from the (surrounding|neighbouring) tissue.",
    "(Trace|Outline) the (border|visible surface) of the {tissue} and fill it with white.",
    "(How far|Over which pixels) does the {tissue} reach? (Answer with|Give|Return) a mask.",
    "(Can|Could) you (segment|mask) the tissue {tissue}[ in this frame]?",
    "(Make|Paint) an image in which {tissue} is white and (the rest|everything else) is black.",
    "(Label|Classify) each pixel: {tissue} (or not|against all other tissue).",
    "In this (surgical|endoscopic|laparoscopic) (image|view), (segment|mask) the organ {tissue}.",
    "(Set|Turn) the pixels of {tissue} to white (and the others|and what is left) to black.",
    "(Look for|Find) the tissue {tissue} and (return|give) its mask[ in white].",
)

ALL_TISSUES_SEGMENTATION = phrasings(
    (
        "Segment all tissues and organs.",
        "Give the mask of the anatomy.",
        "Paint the tissues white, the rest black.",
        "Mask every organ.",
        "Return a segmentation of the organs.",
        "Which pixels belong to tissue?",
        "Cut out all the anatomy.",
        "Draw the mask of all tissues.",
    ),
    "(Segment|Mask) the (organs|anatomical structures) "
    "(in this image|in the frame|pixel by pixel).",
    "(Give|Make|Return) a (binary mask|black and white mask) of (all organs|the tissues).",
    "(Mark|Colour) (every pixel|all pixels) of (every organ|the tissues) in white.",
    "(Separate|Isolate) (the anatomy|all tissues) from (the instruments|whatever is no tissue).",
    "(Draw|Trace) the (contours|exact shapes) of (the organs|all tissues) and fill them with "
    "white.",
    "Where (exactly|precisely) is (the anatomy|all the tissue)? (Answer with|Return) one mask.",
    "(Can|Could) you (segment|mask) (every organ|all tissues)[ in this frame]?",
    "(Make|Paint) an image with (white tissues|white organs) on a black ground.",
    "(Label|Classify) each pixel as (tissue or not|anatomy or anything else).",
    "In this (surgical|endoscopic) (image|view), (segment|mask) whatever is tissue.",
    "(Show|Predict) the (pixels|silhouettes) of (the organs|all tissues).",
    "Turn (tissues|all organs) white and (instruments|what is no tissue) black.",
)

DEPTH_ESTIMATION = phrasings(
    (
        "Estimate the depth of this image.",
        "Give the depth map.",
        "How far away is each pixel?",
        "Predict the relative depth.",
        "Make a depth map of the frame.",
        "Return the depth as a grey image.",
        "Show the depth of the scene.",
        "Compute the depth of every pixel.",
    ),
    "(Estimate|Predict|Infer) the (depth|relative depth) of (the scene|this frame|every point).",
    "(Give|Make|Return) a (grey|one-channel) depth (map|image) of (this image|the view).",
    "(Render|Draw) the (distance|depth) from the camera as a grey image.",
    "How (deep|far from the camera) (is|lies) (each pixel|every point) (here|of this image)?",
    "(Can|Could) you (estimate|predict) the depth (of this scene|from this one image)?",
    "(Turn|Convert) (this image|the frame) into a (depth map|map of relative depth).",
    "(Paint|Shade) (near|close) (tissue|points) dark and far ones bright.",
    "(Reconstruct|Recover) the (depth|relief) of the (operative field|scene)[ as a grey image].",
    "What is the relative depth of (this view|the scene|each pixel)?",
    "In this (surgical|endoscopic) (image|view), (estimate|show) how far everything is.",
)

DESMOKING = phrasings(
    (
        "Remove the smoke.",
        "Clear the smoke from this image.",
        "Show the scene without smoke.",
        "Desmoke the frame.",
        "Take the smoke out of the image.",
        "Make the view clear.",
        "Restore the image behind the smoke.",
        "Give the frame free of smoke.",
    ),
    "(Remove|Clear away) the [surgical ]smoke (from this frame|in the picture)"
    "[ and enhance its clarity].",
    "(Restore|Recover) (a clear view|the clean image) (of the scene|from this smoky frame).",
    "What (would|does) this (image|frame) look like without smoke?",
    "(Clean|Dehaze) (this|the) (smoky image|hazy frame).",
    "(Take away|Wipe out|Get rid of) the smoke (in this image|in front of the tissue)[, please].",
    "(Can|Could) you (remove|clear) the (smoke|surgical smoke)[ for me]?",
    "The (view|camera) is (smoky|clouded by smoke): (show|give) the clear image.",
    "(Make|Paint) this (image|frame) as if there were no smoke.",
    "(Show|Give|Return) (this image|the same view) (without|before) the smoke.",
    "(Smoke|Haze) hides the (tissue|scene): (uncover|restore) it.",
    "(Undo|Reverse) the effect of (smoke|the haze) on this (image|frame).",
    "(Improve|Enhance) the visibility (of this smoky view|through the smoke).",
)

# {seconds}: how far ahead, "9 seconds"; {facts}: phase and step, or action and motion
NEXT_FRAME = phrasings(
    (
        "Show the frame after {seconds}. {facts}",
        "Generate the view in {seconds}. {facts}",
        "What does it look like {seconds} later? {facts}",
        "Predict the frame {seconds} ahead. {facts}",
        "Draw the scene {seconds} from now. {facts}",
        "Make the frame at {seconds} from this one. {facts}",
        "{facts} Show the view {seconds} later.",
        "{facts} Predict the frame after {seconds}.",
    ),
    "(Generate|Predict|Paint) the (image|frame|view) (that follows in|after another) "
    "{seconds}. {facts}",
    "Given (this frame|the image), (what is seen|what will the camera see) in {seconds}? {facts}",
    "{facts} (Generate|Imagine) the (image|picture) {seconds} (ahead|later).",
    "(Show|Paint|Give) what (the camera|one) will see (in|after) {seconds}. {facts}",
    "(Let {seconds} pass|Go {seconds} forward): (show|generate) the (view|frame). {facts}",
    "How will (this view|the scene) look (in|after) {seconds}? {facts}",
    "{facts} What (is|will be) in the (picture|frame) {seconds} (on|from now)?",
    "(Can|Could) you (predict|draw) the (image|frame) {seconds} on? {facts}",
    "From this (image|frame), (predict|make|render) the one at {seconds}. {facts}",
    "{facts} (Render|Make) the (view|frame) that comes {seconds} (after|later).",
    "(Jump|Look) {seconds} (ahead|into the future) and (show|draw) the frame. {facts}",
    "{facts} (Forecast|Picture) the (scene|view) {seconds} on.",
)

VIDEO_GENERATION = phrasings(  # {caption}: what is to be seen
    (
        "Generate a clip: {caption}",
        "Make a video of this: {caption}",
        "Film the following: {caption}",
        "Show as a video: {caption}",
        "Turn the caption into a clip. {caption}",
        "Create surgical video. {caption}",
        "Render this description as video: {caption}",
        "Produce a clip in which this happens: {caption}",
    ),
    "(Generate|Create|Synthesise) a (surgical video|short clip) "
    "(that shows this|from this text|of the following): {caption}",
    "(Show me|Let me see) a (video|clip) of (this|what follows): {caption}",
    "{caption} (Make|Generate) a (video|clip) of (that|it).",
    "(Turn|Make) this (text|description) into a (surgical video|short film): {caption}",
    "(Can|Could) you (make|generate) a (video|clip) of this[ operation]? {caption}",
    "What would it look like (on video|as a clip)? {caption}",
    "(Write|Compose) no text but a (video|clip) of the following: {caption}",
    "(Simulate|Stage) (this|the following) as a (surgical video|clip): {caption}",
    "{caption} (Show|Film|Render) (this|that) as (a video|a moving picture).",
    "(Produce|Give|Return) a (video|clip) (for this caption|with this content): {caption}",
    "Imagine the (operation|scene) and film it: {caption}",
)

VIDEO_CONTINUATION = phrasings(  # {caption}: what is to be seen after the image
    (
        "Start from this image and generate a clip: {caption}",
        "Use the image as first frame. {caption}",
        "Continue the image as a video: {caption}",
        "Animate this frame: {caption}",
        "Bring the image to life: {caption}",
        "Let this frame go on as a clip: {caption}",
        "From this first frame, make a video: {caption}",
        "Film on from here: {caption}",
    ),
    "(Generate|Create|Synthesise) a (video|clip) that (starts with|begins at) this (image|frame)"
    ": {caption}",
    "(Take|Use) the (picture|frame) as (the start|the opening) of a (video|clip). {caption}",
    "{caption} (Make|Generate) a clip of it that starts at this image.",
    "(Continue|Go on) from this (image|frame|picture) as follows: {caption}",
    "This (image|frame|picture) is the first of a (video|clip): (show|make) the rest. {caption}",
    "(Can|Could) you (animate|continue) this (image|frame)? {caption}",
    "What happens (after|from) this (image|frame)? (Film|Show) it: {caption}",
    "(Let|Make) the (picture|scene) move: {caption}",
    "(Turn|Make) this (still|image|frame) into a (video|clip) in which this happens: {caption}",
    "{caption} (Film|Show|Render) that, beginning with this (image|frame).",
)
