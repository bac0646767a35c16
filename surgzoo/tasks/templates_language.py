"""Phrasings of the tasks whose answer is prose: captions of images and of clips."""

from surgzoo.tasks.grammar import phrasings

IMAGE_CAPTIONING = phrasings(
    (
        "Describe this image.",
        "Caption the image.",
        "Describe the frame in detail.",
        "What does this image show?",
        "Write a caption for this frame.",
        "Give a description of the image.",
        "Summarise what the frame shows.",
        "Describe the surgical scene.",
        "What is going on in this picture?",
        "Explain this surgical image.",
        "Tell me about this frame.",
        "Put the image into words.",
    ),
    "(Describe|Explain) (this|the) (surgical image|endoscopic image|operative view)"
    "( in detail| in words| in a few sentences).",
    "(Write|Give|Compose) a (detailed|full|short) (caption|description) "
    "(of this image|for the picture|of the surgical view).",
    "(Name the procedure and describe|State the phase and describe) what the (image|frame) shows.",
    "What (is happening|can be seen|do you see) in this (surgical image|still image)"
    "[, in full sentences]?",
    "(Can|Could) you (describe|caption) (this image|the picture|this frame)[ for me]?",
    "(Report|Summarise) what (is seen|happens) in this (image|picture)[ of the operation].",
    "(Look at|Study) the (image|frame) and describe (it|the scene)[ in detail].",
    "(Write|Give) a paragraph (on|about) this (image|frame).",
    "How would you describe this (image|frame|picture) (to a colleague|in a report)?",
)

VIDEO_CAPTIONING = phrasings(
    (
        "Describe this clip.",
        "Caption the video.",
        "Describe the video in detail.",
        "What happens in this clip?",
        "Write a caption for this clip.",
        "Give a description of the video.",
        "Summarise the clip.",
        "Tell what is done, in order.",
        "What goes on in this video?",
        "Explain this surgical clip.",
        "Tell me about this clip.",
        "Put the video into words.",
    ),
    "(Describe|Explain) (this|the) (surgical video|endoscopic clip|stretch of the operation)"
    "( in detail| in words| in order).",
    "(Write|Give|Compose) a (detailed|full|short) (caption|description) "
    "(of this clip|for the video|of what is done).",
    "(Describe|List) the (actions|events) of this (clip|video) (in order|one after the other).",
    "What (is to be seen|happens|takes place) in this (surgical clip|video)[, from start to end]?",
    "(Can|Could) you (describe|caption) (this clip|the video|these frames)[ for me]?",
    "(Report|Summarise) what (the surgeon does|happens) in this (clip|video)[ of the operation].",
    "(Watch|Study) the (clip|video) and describe (it|the actions)[ in detail].",
    "(Write|Give) a paragraph (on|about) this (clip|video).",
    "Tell the course of this (clip|video): (who holds what, who does what|what comes first, then "
    "what).",
)
